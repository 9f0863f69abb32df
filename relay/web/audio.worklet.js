// The audio thread: plays the ring at the rate that it is told, and says where it is.
import { CAPACITY, RATE_ONE, Ring, WORD } from "./ring.js";

/** Samples over which sound comes and goes, so that it does not click. */
const FADE = 128;
/** Blocks between reports when there is no shared memory: about 10 ms. */
const REPORT_BLOCKS = 4;

class Player extends AudioWorkletProcessor {
  #ring;
  #port;
  #place = 0;
  #fraction = 0;
  #seeks = 0;
  #gain = 0;
  #blocks = 0;
  #closed = false;

  constructor({ processorOptions: { buffer, channels } }) {
    super();
    const own = buffer === undefined;
    this.#ring = new Ring(buffer ?? Ring.allocate(channels, false), channels);
    this.port.onmessage = ({ data }) => {
      if (data.port) this.#listen(data.port, own);
      if (data.close) this.#closed = true;
    };
  }

  #listen(port, own) {
    if (!own) return;
    this.#port = port;
    port.onmessage = ({ data }) => {
      if (data.planes) this.#ring.write(data.place, data.planes);
      for (const [word, value] of data.words ?? []) this.#ring.store(word, value);
    };
  }

  process(_, [output]) {
    const ring = this.#ring;
    const frames = output[0].length;
    if (ring.load(WORD.seeks) !== this.#seeks) this.#seek();
    const rate = ring.load(WORD.rate) / RATE_ONE;
    // Four points around each sample are interpolated.
    const enough = ring.ahead(this.#place) >= Math.ceil(frames * rate) + 3;
    // Before the first seek the place means nothing.
    const playing = ring.load(WORD.playing) === 1 && this.#seeks > 0;
    if (playing && enough) this.#play(output, frames, rate);
    else this.#rest(output, playing);
    ring.store(WORD.read, this.#place);
    this.#report();
    return !this.#closed;
  }

  #seek() {
    this.#seeks = this.#ring.load(WORD.seeks);
    this.#place = this.#ring.load(WORD.seekTo);
    this.#fraction = 0;
    this.#gain = 0;
    this.#ring.store(WORD.sought, this.#seeks);
  }

  #play(output, frames, rate) {
    const { planes } = this.#ring;
    let place = this.#place;
    let fraction = this.#fraction;
    let gain = this.#gain;
    let power = 0;
    for (let i = 0; i < frames; i += 1) {
      gain = Math.min(1, gain + 1 / FADE);
      for (let channel = 0; channel < output.length; channel += 1) {
        const plane = planes[Math.min(channel, planes.length - 1)];
        const sample = gain * (fraction === 0 ? plane[place & (CAPACITY - 1)]
          : between(plane, place, fraction));
        output[channel][i] = sample;
        power += sample * sample;
      }
      fraction += rate;
      const step = Math.floor(fraction);
      fraction -= step;
      place = (place + step) | 0;
    }
    this.#place = place;
    // At the rate of one, rounding must not keep the slower path busy.
    this.#fraction = rate === 1 && fraction < 1e-6 ? 0 : fraction;
    this.#gain = gain;
    const level = Math.sqrt(power / (frames * output.length));
    this.#ring.store(WORD.level, Math.round(level * RATE_ONE));
  }

  #rest(output, playing) {
    // The last samples fade out when there are any, so that a pause does not click.
    const fades = this.#gain > 0 && this.#ring.ahead(this.#place) >= output[0].length;
    output.forEach((samples, channel) => {
      const plane = this.#ring.planes[Math.min(channel, this.#ring.planes.length - 1)];
      for (let i = 0; i < samples.length; i += 1) {
        const gain = fades ? this.#gain * (1 - i / samples.length) : 0;
        samples[i] = gain * plane[(this.#place + i) & (CAPACITY - 1)];
      }
    });
    if (playing && this.#gain > 0) {
      this.#ring.store(WORD.underruns, this.#ring.load(WORD.underruns) + 1);
    }
    this.#gain = 0;
    this.#ring.store(WORD.level, 0);
  }

  #report() {
    this.#blocks += 1;
    if (!this.#port || this.#blocks % REPORT_BLOCKS !== 0) return;
    const words = [WORD.read, WORD.underruns, WORD.level, WORD.sought];
    this.#port.postMessage(words.map((word) => [word, this.#ring.load(word)]));
  }
}

/** The value at `place` + `fraction`, by a cubic through the four samples around it. */
function between(plane, place, fraction) {
  const mask = CAPACITY - 1;
  const a = plane[(place - 1) & mask];
  const b = plane[place & mask];
  const c = plane[(place + 1) & mask];
  const d = plane[(place + 2) & mask];
  const slope = (c - a) / 2;
  const curve = a - 2.5 * b + 2 * c - d / 2;
  const twist = (d - a) / 2 + 1.5 * (b - c);
  return ((twist * fraction + curve) * fraction + slope) * fraction + b;
}

registerProcessor("weir-player", Player);
