// What the player counts about itself between two looks at it.

/** Share of a new sample in the smoothed difference of picture and sound. */
const OFFSET_SHARE = 0.1;

export class Measures {
  #bytes = 0;
  #previous;
  #offsetMs;
  #stalledSince;
  #stalledMs = 0;
  /** Counts over all decoders that there were: `name` to `{last, total}`. */
  #counts = new Map();
  size = { width: 0, height: 0 };
  undrawn = 0;
  firstPictureMs;
  /** When the thread ran, the relay answered, media came and were decoded, as `firstPictureMs`. */
  #startup = {};

  constructor(nowMs) {
    this.#previous = { atMs: nowMs, bytes: 0, rendered: 0 };
  }

  /**
   * The start has come to `stage`, `workerMs`, `connectedMs`, `mediaMs` or `decodedMs`; only the
   * first time counts.
   */
  started(stage, ms) {
    this.#startup[stage] ??= ms;
  }

  received(bytes) {
    this.#bytes += bytes;
  }

  /** The picture of media time `pictureMs` is seen while the sound of `soundMs` is heard. */
  together(pictureMs, soundMs) {
    if (soundMs === undefined) return void (this.#offsetMs = undefined);
    const offset = pictureMs - soundMs;
    this.#offsetMs = this.#offsetMs === undefined ? offset
      : this.#offsetMs * (1 - OFFSET_SHARE) + offset * OFFSET_SHARE;
  }

  /** Whether playing stands still for want of media. */
  standing(still, nowMs) {
    if (still) this.#stalledSince ??= nowMs;
    else if (this.#stalledSince !== undefined) {
      this.#stalledMs += nowMs - this.#stalledSince;
      this.#stalledSince = undefined;
    }
  }

  /** What `value` has come to in all: it begins anew with each decoder. */
  #total(name, value = 0) {
    const { last, total } = this.#counts.get(name) ?? { last: 0, total: 0 };
    const grown = total + (value < last ? value : value - last);
    this.#counts.set(name, { last: value, total: grown });
    return grown;
  }

  /** Everything in numbers; `video` and `audio` may be missing. */
  take(nowMs, playout, video, audio) {
    const seconds = Math.max(0.001, (nowMs - this.#previous.atMs) / 1000);
    const rendered = this.#total("rendered", video?.rendered);
    const missed = this.#total("video", video?.dropped) + this.#total("audio", audio?.dropped);
    const ahead = playout.aheadMs(nowMs);
    const still = this.#stalledSince === undefined ? 0 : nowMs - this.#stalledSince;
    const stats = {
      lagMs: playout.lagMs(nowMs),
      targetMs: playout.targetMs,
      aheadMs: Number.isFinite(ahead) ? ahead : 0,
      jitterMs: playout.jitterMs,
      rate: playout.rate,
      stalls: playout.stalls,
      stalledMs: this.#stalledMs + still,
      skips: playout.skips,
      rendered,
      fps: Math.max(0, rendered - this.#previous.rendered) / seconds,
      bitrateBps: ((this.#bytes - this.#previous.bytes) * 8) / seconds,
      dropped: this.undrawn + missed,
      decodeErrors: this.#total("errors", video?.decodeErrors),
      underruns: this.#total("underruns", audio?.underruns),
      level: audio?.level ?? 0,
      offsetMs: this.#offsetMs,
      firstPictureMs: this.firstPictureMs,
      ...this.#startup,
      ...this.size,
    };
    this.#previous = { atMs: nowMs, bytes: this.#bytes, rendered };
    return stats;
  }
}
