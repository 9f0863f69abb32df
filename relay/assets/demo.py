#!/usr/bin/env python3
"""Makes demo.flv, the clip of `weir serve --demo`: needs python3 and ffmpeg.

Ten seconds that loop without a seam: every wave of the picture and every note of the sound has a
period that divides them. 640x360 at 30 a second, H.264 baseline, a key frame a second; AAC.

    python3 relay/assets/demo.py relay/assets/demo.flv
"""

import math
import struct
import subprocess
import sys
import tempfile
import wave

SECONDS, RATE = 10, 48_000

# Half steps above A3 on the beats of a loop, two a second: a minor pentatonic scale, up and down.
MELODY = [0, 7, 10, 12, 15, 12, 10, 7, 5, 12, 15, 17, 19, 17, 15, 12, 10, 7, 5, 3]
CHORD = [(-12, 0.10), (-5, 0.07), (3, 0.05)]


def hertz(half_steps):
    return 220 * 2 ** (half_steps / 12)


def looping(frequency):
    """The nearest frequency with a whole number of periods in the loop."""
    return round(frequency * SECONDS) / SECONDS


def sample(at):
    t = at / RATE
    swell = 0.75 + 0.25 * math.cos(2 * math.pi * t / SECONDS)
    value = sum(
        level * swell * math.sin(2 * math.pi * looping(hertz(step)) * t) for step, level in CHORD
    )
    # A plucked note rings on through the next two; what rings over the end begins the loop.
    beat = int(t * 2)
    for back in range(3):
        note = MELODY[(beat - back) % len(MELODY)]
        age = t - (beat - back) / 2
        attack = min(1, age / 0.008)
        pluck = 0.17 * attack * math.exp(-4.5 * age)
        phase = 2 * math.pi * hertz(note) * age
        value += pluck * (math.sin(phase) + 0.25 * math.sin(2 * phase) * math.exp(-6 * age))
    return value


def sound(path):
    with wave.open(path, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        values = (int(32_000 * sample(at)) for at in range(SECONDS * RATE))
        out.writeframes(b"".join(struct.pack("<h", value) for value in values))


def turn(per_loop, length):
    """A sine of the picture's x, `per_loop` times through in a loop, `length` pixels long."""
    return f"sin(2*PI*(X/{length}+{per_loop}*T/{SECONDS}))"


def picture():
    """The luma and chroma of 320x180: a sunset over three rows of waves, and a buoy."""
    rows = [
        f"(98+6*{turn(2, 160)}+3*{turn(-3, 64)})",
        f"(122+8*{turn(-2, 213)}+3*{turn(4, 80)})",
        f"(148+9*{turn(3, 320)}+4*{turn(-5, 107)})",
    ]
    sun = "hypot(X-232,Y-58)"
    # The buoy drifts to the right, out of the picture and in again on the left.
    x = "(mod(T*36,360)-20)"
    y = rows[1].replace("X", x)
    buoy = f"hypot(X-{x},Y-({y})-1)"

    def layers(scale, sky, sun_value, buoy_value, waves):
        # Chroma planes have half the size: their X and Y count every other pixel.
        row = [r.replace("X", f"(X*{scale})") for r in rows]
        s, b = (
            e.replace("X", f"(X*{scale})").replace("Y", f"(Y*{scale})") for e in (sun, buoy)
        )
        height = f"(Y*{scale})"
        value = f"if(lt({s},23),{sun_value},{sky})"
        for at, (edge, wave_value) in enumerate(zip(row, waves)):
            value = f"if(gt({height},{edge}),{wave_value},{value})"
            if at == 1:
                value = f"if(lt({b},7),{buoy_value},{value})"
        return value

    water = ["(150-(Y-90)*0.5)", "(112-(Y-110)*0.4)", "(78-(Y-130)*0.4)"]
    lum = layers(1, "(88+Y*0.95)", 236, 214, water)
    cb = layers(2, "(146-Y*0.5)", 78, 70, [146, 152, 156])
    cr = layers(2, "(136+Y*0.5)", 158, 190, [112, 108, 106])
    return f"geq=lum='{lum}':cb='{cb}':cr='{cr}'"


def main():
    with tempfile.TemporaryDirectory() as folder:
        sound(f"{folder}/sound.wav")
        source = f"nullsrc=size=320x180:rate=30:duration={SECONDS},format=yuv420p"
        scaled = "scale=640:360:flags=bicubic,format=yuv420p"
        command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i"]
        command += [f"{source},{picture()},{scaled}", "-i", f"{folder}/sound.wav"]
        command += ["-c:v", "libx264", "-preset", "veryslow", "-profile:v", "baseline"]
        command += ["-crf", "27", "-maxrate", "150k", "-bufsize", "150k"]
        command += ["-g", "30", "-keyint_min", "30", "-sc_threshold", "0"]
        command += ["-c:a", "aac", "-b:a", "48k", "-t", str(SECONDS)]
        command += ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact"]
        command += ["-flags:a", "+bitexact", "-f", "flv", sys.argv[1]]
        subprocess.run(command, check=True)


main()
