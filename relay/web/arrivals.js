// How unevenly media arrive: what a player must keep in hand so that nothing comes too late.

/** Arrivals that are looked back at, in ms: longer than what Wi-Fi needs to show its habits. */
const WINDOW_MS = 15_000;
/** Most arrivals kept; more come only from streams of more than a hundred frames a second. */
const ARRIVALS_MAX = 2000;
/** Share of arrivals that must be in time. */
const IN_TIME = 0.995;
/** Share of arrivals that are as usual: packets that are lost delay fewer. */
const USUAL = 0.9;
/** Lateness that comes back is remembered longer, in spans of so many ms: packets that are lost
 *  twice come every few seconds to minutes, and each would stop the picture. */
const SPAN_MS = 5000;
const SPANS_MAX = 24;
/** An arrival this much later than the others is another timeline, in ms, when so many follow. */
export const JUMP_MS = 20_000;
const JUMP_ARRIVALS = 12;

/** How uneven arrivals are: the distance behind the fastest one that nearly all keep to. */
export class Arrivals {
  #seen = [];
  #strange = 0;
  /** The latest arrival of each span, newest last: `{fromMs, delay}`. */
  #spans = [];
  fastest = Infinity;
  jitterMs = 0;
  /** How late arrivals usually are, in ms behind the fastest. */
  usualMs = 0;
  /** What has been late more than once lately, in ms behind the fastest. */
  habitMs = 0;

  /** `delay` is arrival minus media time, of any origin. Says whether the timeline has jumped. */
  add(nowMs, delay) {
    if (delay - this.fastest > JUMP_MS) {
      this.#strange += 1;
      if (this.#strange < JUMP_ARRIVALS) return false;
      this.reset();
    }
    const jumped = this.fastest - delay > JUMP_MS && this.fastest !== Infinity;
    if (jumped) this.reset();
    this.#strange = 0;
    this.fastest = Math.min(this.fastest, delay);
    this.#seen.push({ nowMs, delay });
    if (this.#seen.length > ARRIVALS_MAX) this.#seen.shift();
    this.#remember(nowMs, delay);
    return jumped;
  }

  #remember(nowMs, delay) {
    const newest = this.#spans.at(-1);
    if (newest && nowMs - newest.fromMs < SPAN_MS) {
      newest.delay = Math.max(newest.delay, delay);
      return;
    }
    this.#spans.push({ fromMs: nowMs, delay });
    if (this.#spans.length > SPANS_MAX) this.#spans.shift();
  }

  /** Looks at the window that ends at `nowMs`. */
  measure(nowMs) {
    const first = this.#seen.findIndex((arrival) => arrival.nowMs >= nowMs - WINDOW_MS);
    if (first > 0) this.#seen.splice(0, first);
    if (this.#seen.length === 0) return;
    const delays = this.#seen.map((arrival) => arrival.delay).sort((a, b) => a - b);
    this.fastest = delays[0];
    const late = (share) => delays[Math.min(delays.length - 1, Math.floor(delays.length * share))]
      - delays[0];
    this.jitterMs = late(IN_TIME);
    this.usualMs = late(USUAL);
    this.habitMs = Math.max(0, this.#habit() - delays[0]);
  }

  /** The latest arrival but for those around the very latest one. */
  #habit() {
    const late = this.#spans.map((span) => span.delay);
    const worst = late.indexOf(Math.max(...late));
    return Math.max(-Infinity, ...late.filter((_, at) => Math.abs(at - worst) > 1));
  }

  reset() {
    this.#seen = [];
    this.#spans = [];
    this.#strange = 0;
    this.fastest = Infinity;
    this.jitterMs = this.usualMs = this.habitMs = 0;
  }
}
