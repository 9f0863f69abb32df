// Where the time of a shown frame went, and the distribution of the whole. Pure.

/** Differences between media time and the relay's clock that cannot be a delay, in ms: then media
 *  time has another origin. */
const PLAUSIBLE_MS = 60_000;
/** Frames that the stages look back at: some seconds. */
const FRAMES_MAX = 150;
/** Pairs of a report's distribution, and the value that it ends with, in ms. */
export const PAIRS_MAX = 48;
export const LATENCY_MAX_MS = 60_000;

const median = (values) => {
  const known = values.filter(Number.isFinite).sort((a, b) => a - b);
  return known.length > 0 ? known[Math.floor(known.length / 2)] : undefined;
};

/** `[value, count]` pairs, ascending, at most `PAIRS_MAX`: coarser steps where there are more. */
export function distribution(values) {
  for (let step = 1; ; step *= 2) {
    const counts = new Map();
    for (const value of values) {
      const held = Math.min(Math.max(value, 0), LATENCY_MAX_MS);
      const place = Math.min(Math.round(held / step) * step, LATENCY_MAX_MS);
      counts.set(place, (counts.get(place) ?? 0) + 1);
    }
    if (counts.size <= PAIRS_MAX) return [...counts].sort(([a], [b]) => a - b);
  }
}

/** Latency from the relay's arrival to the screen, whole and by stage. */
export class Latency {
  #frames = [];
  #since = [];

  /**
   * A frame was shown. `times` are of one clock in ms: `arrivedMs`, `fedMs`, `decodedMs` and
   * `shownMs`; `relayMs` is the relay's time at `shownMs`, undefined where it is not known, and
   * `sentMs` the frame's by that clock. `networkMs` is what is known of the network otherwise.
   */
  shown({ arrivedMs, fedMs, decodedMs, shownMs }, relayMs, sentMs, networkMs) {
    const here = shownMs - arrivedMs;
    const exact = relayMs - sentMs;
    const plausible = exact > -PLAUSIBLE_MS && exact < PLAUSIBLE_MS;
    // No network is quicker than it was found to be.
    const measured = Number.isFinite(networkMs);
    const network = Math.max(plausible ? exact - here : 0, measured ? networkMs : 0);
    const known = plausible || measured;
    const frame = {
      total: known ? here + network : undefined,
      network: known ? network : undefined,
      buffer: fedMs - arrivedMs + shownMs - decodedMs,
      decode: decodedMs - fedMs,
    };
    this.#frames.push(frame);
    if (this.#frames.length > FRAMES_MAX) this.#frames.shift();
    if (known && this.#since.length < 10 * FRAMES_MAX) this.#since.push(frame.total);
  }

  /** Medians of the last frames, in ms; undefined where nothing is known. */
  stages() {
    const of = (stage) => median(this.#frames.map((frame) => frame[stage]));
    return { totalMs: of("total"), networkMs: of("network"), bufferMs: of("buffer"),
      decodeMs: of("decode") };
  }

  /** The distribution since the last call. */
  take() {
    return distribution(this.#since.splice(0));
  }

  reset() {
    this.#frames = [];
  }
}
