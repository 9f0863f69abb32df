// The relay's clock of a stream, as seen from here: the media time that arrives there now. Pure.

/** Samples older than this are forgotten, in ms: clocks drift apart. */
const SAMPLES_MS = 180_000;
/** Most samples kept: one with each report, and some at the beginning. */
const SAMPLES_MAX = 64;
/** How much quartz clocks drift apart, in ms a ms. */
const DRIFT = 2e-5;

/** Follows the relay's clock by questions and answers. */
export class RelayClock {
  #samples = [];
  #best;

  /** Asked at `sentMs`, answered by `relayMs`, heard at `heardMs`. */
  add(sentMs, relayMs, heardMs) {
    const errorMs = (heardMs - sentMs) / 2;
    if (!(errorMs >= 0) || !Number.isFinite(relayMs)) return;
    this.#samples.push({ offsetMs: relayMs - (sentMs + heardMs) / 2, errorMs, atMs: heardMs });
    if (this.#samples.length > SAMPLES_MAX) this.#samples.shift();
    this.#samples = this.#samples.filter(({ atMs }) => heardMs - atMs < SAMPLES_MS);
    const bound = (sample) => sample.errorMs + (heardMs - sample.atMs) * DRIFT;
    this.#best = this.#samples.reduce((best, sample) => (bound(sample) < bound(best) ? sample
      : best));
  }

  /** The relay's time at `nowMs`; undefined while it never answered. */
  relayMs(nowMs) {
    return this.#best && nowMs + this.#best.offsetMs;
  }

  /** How wrong that may be at most, in ms either way. */
  errorMs(nowMs) {
    return this.#best && this.#best.errorMs + Math.max(0, nowMs - this.#best.atMs) * DRIFT;
  }

  /** Half of the quickest round trip: what a message takes to come here, about. */
  get oneWayMs() {
    return this.#best?.errorMs;
  }
}
