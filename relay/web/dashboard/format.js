// Numbers as people read them; what is not known is a dash.

const NONE = "–";

const known = (value) => value !== undefined && value !== null && Number.isFinite(value);

/** Microseconds: "310 µs", "4.2 ms", "1.3 s". */
export function time(us) {
  if (!known(us)) return NONE;
  const size = Math.abs(us);
  if (size < 1000) return `${Math.round(us)} µs`;
  if (size < 1e6) return `${(us / 1000).toFixed(size < 1e5 ? 1 : 0)} ms`;
  return `${(us / 1e6).toFixed(1)} s`;
}

/** Milliseconds, the same way. */
export const millis = (ms) => time(known(ms) ? ms * 1000 : undefined);

/** Bits per second: "860 kbit/s", "4.2 Mbit/s". */
export function rate(bps) {
  if (!known(bps)) return NONE;
  if (bps >= 1e6) return `${(bps / 1e6).toFixed(bps < 1e8 ? 1 : 0)} Mbit/s`;
  return `${Math.round(bps / 1e3)} kbit/s`;
}

/** Bytes: "812 B", "3.4 MB". */
export function bytes(count) {
  if (!known(count)) return NONE;
  const steps = [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]];
  const [size, unit] = steps.find(([size]) => count >= size) ?? [1, "B"];
  return `${(count / size).toFixed(size === 1 || count >= size * 100 ? 0 : 1)} ${unit}`;
}

/** Seconds: "42 s", "3 min", "2 h 05 min", "4 d 3 h". */
export function duration(seconds) {
  if (!known(seconds)) return NONE;
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) {
    return `${Math.floor(s / 3600)} h ${String(Math.floor((s / 60) % 60)).padStart(2, "0")} min`;
  }
  return `${Math.floor(s / 86400)} d ${Math.floor((s / 3600) % 24)} h`;
}

/** A whole number, in groups of three. */
export const count = (value) => (known(value) ? value.toLocaleString("en-US") : NONE);

/** A share from 0 to 1. */
export const percent = (share) =>
  known(share) ? `${(share * 100).toFixed(share < 0.1 ? 2 : 0)} %` : NONE;

/** Frames per second. */
export const fps = (value) => (known(value) ? `${Math.round(value * 100) / 100} fps` : NONE);

/** The time of day of a Unix time in milliseconds. */
export const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour12: false });

/** The path of a stream's page below `prefix`. */
export const path = (prefix, name) =>
  `${prefix}/${name.split("/").map(encodeURIComponent).join("/")}`;

/** "avc1.42c01f" as people call it. */
export function codec(string) {
  const names = { avc1: "H.264", avc3: "H.264", hvc1: "HEVC", hev1: "HEVC", av01: "AV1",
    vp09: "VP9", vp8: "VP8", mp4a: "AAC", opus: "Opus" };
  return names[string?.split(".")[0].toLowerCase()] ?? string ?? "";
}

/** What a stream's tracks are, in a line. */
export function media(tracks) {
  const words = tracks.map((track) => [
    codec(track.codec), track.width && `${track.width}×${track.height}`,
    track.fps && fps(track.fps), track.samplerate && `${track.samplerate / 1000} kHz`,
    track.channels && ({ 1: "mono", 2: "stereo" }[track.channels] ?? `${track.channels} channels`),
  ].filter(Boolean).join(" "));
  return words.join(" · ");
}

export const sum = (values) => values.reduce((total, value) => total + value, 0);
