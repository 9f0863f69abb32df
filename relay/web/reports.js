// Tells the relay how this viewer is doing, and asks it for its clock: on names that never leave
// the session, so that no stream of that name can exist.
import { RelayClock } from "./clock.js";

const NAMESPACE = [".session", "weir"];
/** With the stream's name behind it: the timestamp of what arrives at the relay now. */
const CLOCK = "clock/";
const REPORT = "report";
/** Time between reports, in ms. */
export const EVERY_MS = 5000;
/** Least time between two, in ms: the relay takes one a second. */
const LEAST_MS = 1200;
/** Questions for the clock at the beginning, and the pause between them, in ms: one is quick. */
const FIRST_QUESTIONS = 4;
const QUESTION_MS = 150;
/** Longest report, in bytes: a datagram has to carry it. */
export const BYTES_MAX = 1100;

export const PLAYER = "weir-player/0.1.0";

const round = (value, digits = 0) => (Number.isFinite(value)
  ? Number(value.toFixed(digits)) : undefined);
const counter = (value) => Math.max(0, Math.round(value));

/**
 * The report's text; numbers that are not known are absent. `before` are the statistics with which
 * the session began, where it is not the first: what they count was told in another one.
 */
export function compose({ stream, state, latency, stats, clockErrorMs, before }) {
  const since = (name) => counter((stats[name] ?? 0) - (before?.[name] ?? 0));
  const text = (pairs) => JSON.stringify({
    v: 1, stream, player: PLAYER, state,
    startup_ms: before?.firstPictureMs === undefined ? round(stats.firstPictureMs) : undefined,
    latency_ms: pairs,
    clock_error_ms: round(clockErrorMs, 1),
    buffer_ms: round(Math.max(0, stats.aheadMs)),
    target_ms: round(stats.targetMs),
    jitter_ms: round(stats.jitterMs),
    rate: round(stats.rate, 3),
    fps: round(stats.fps, 1),
    rendered: since("rendered"), dropped: since("dropped"),
    stalls: since("stalls"), stalled_ms: since("stalledMs"),
    skips: since("skips"),
    av_offset_ms: round(stats.offsetMs, 1),
  });
  const whole = new TextEncoder().encode(text(latency));
  // The distribution is the only long part besides a stream's name.
  return whole.length <= BYTES_MAX ? whole : new TextEncoder().encode(text([]));
}

/** The clock and the reports of one player, over all of its sessions. */
export class Reports {
  #wanted;
  #clockTrack;
  #session;
  #send;
  #sentAt = -Infinity;
  #clock = new RelayClock();
  #asks = false;

  /** `wanted` is false where the viewer turned reports off; the clock is asked all the same. */
  constructor(stream, wanted) {
    this.#clockTrack = CLOCK + stream;
    this.#wanted = wanted;
  }

  get clock() {
    return this.#clock;
  }

  /** A session has begun. */
  begin(session) {
    this.#session = session;
    this.#send = undefined;
    this.#clock = new RelayClock();
    if (!this.#wanted) return;
    const offered = session.publish(NAMESPACE, REPORT);
    offered.then((send) => {
      if (session === this.#session) this.#send = send;
    // A relay that wants no reports says so, and gets none.
    }, () => {});
  }

  /** The stream has begun to play, and has a clock. */
  async live() {
    const session = this.#session;
    this.#asks = session !== undefined;
    for (let n = 0; n < FIRST_QUESTIONS && session === this.#session && this.#asks; n += 1) {
      await this.#ask(session);
      await new Promise((resolve) => setTimeout(resolve, QUESTION_MS));
    }
  }

  async #ask(session) {
    const sentMs = performance.now();
    try {
      const largest = await session.status(NAMESPACE, this.#clockTrack);
      if (session !== this.#session || !largest) return;
      this.#clock.add(sentMs, largest.group + largest.object / 1000, performance.now());
    } catch {
      // Another relay than Weir knows no such track.
      this.#asks = false;
    }
  }

  end() {
    this.#session = this.#send = undefined;
  }

  /** Whether one should be sent now; `urgent` ones do not wait for their turn. */
  due(nowMs, urgent) {
    const since = nowMs - this.#sentAt;
    return this.#session !== undefined && (since > EVERY_MS || (urgent && since > LEAST_MS));
  }

  send(nowMs, report) {
    this.#sentAt = nowMs;
    if (report.length <= BYTES_MAX) this.#send?.(report);
    if (this.#asks && this.#session) this.#ask(this.#session);
  }
}
