// When to show what: measures how unevenly media arrive and keeps the playing position just that
// far behind. Pure: media time and wall time come in as milliseconds, decisions come out.

/** Least distance behind the fastest arrival, in ms: two screen refreshes. */
export const TARGET_MIN_MS = 35;
/** Most that is kept for jitter, in ms: beyond, it is an outage, and live is worth more. */
export const TARGET_MAX_MS = 1200;
/** Most that `?latency=` sets, in ms: the sound's ring holds five seconds. */
export const FIXED_MAX_MS = 4000;
/** Arrivals that are looked back at, in ms: longer than what Wi-Fi needs to show its habits. */
const WINDOW_MS = 15_000;
/** Most arrivals kept; more come only from streams of more than a hundred frames a second. */
const ARRIVALS_MAX = 2000;
/** Share of arrivals that must be in time. */
const IN_TIME = 0.995;
/** On top of the measured jitter, in ms: decoding and the timers' grain. */
const MARGIN_MS = 15;
/** The target falls only when it could have been lower for so long, in ms, and by this much. */
const CALM_MS = 6000;
const FALL_MIN_MS = 20;
/** Rates that nobody hears, and where correcting starts and stops, in ms. */
const RATE_STEP_MAX = 0.03;
const CORRECT_FROM_MS = 15;
const CORRECT_UNTIL_MS = 4;
/** Time in which a difference would be made up without the rate's limit, in ms. */
const CORRECT_OVER_MS = 2000;
/** A lag beyond the target that is skipped and not caught up, in ms: catching up takes 50 s. */
export const SKIP_LAG_MS = 1500;
/** An arrival this much later than the others is another timeline, in ms, when so many follow. */
const JUMP_MS = 20_000;
const JUMP_ARRIVALS = 12;
/** A track that is silent for so long does not hold the others up, in ms. */
export const SILENT_MS = 1500;

/** How uneven arrivals are: the distance behind the fastest one that nearly all keep to. */
export class Arrivals {
  #seen = [];
  #strange = 0;
  fastest = Infinity;
  jitterMs = 0;

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
    return jumped;
  }

  /** Looks at the window that ends at `nowMs`. */
  measure(nowMs) {
    const first = this.#seen.findIndex((arrival) => arrival.nowMs >= nowMs - WINDOW_MS);
    if (first > 0) this.#seen.splice(0, first);
    if (this.#seen.length === 0) return;
    const delays = this.#seen.map((arrival) => arrival.delay).sort((a, b) => a - b);
    this.fastest = delays[0];
    const place = Math.min(delays.length - 1, Math.floor(delays.length * IN_TIME));
    this.jitterMs = delays[place] - delays[0];
  }

  reset() {
    this.#seen = [];
    this.#strange = 0;
    this.fastest = Infinity;
    this.jitterMs = 0;
  }
}

/** The playing position: where it is, how fast it moves, how far behind it should be. */
export class Playout {
  #arrivals = new Arrivals();
  #tracks = new Map();
  #fixedMs;
  #anchor;
  #calmSince;
  #correcting = false;
  targetMs = TARGET_MIN_MS + MARGIN_MS;
  rate = 1;
  state = "idle";
  stalls = 0;
  skips = 0;

  /** `fixedMs` sets the target instead of what is measured. */
  constructor(fixedMs) {
    this.#fixedMs = fixedMs;
    if (fixedMs !== undefined) this.targetMs = clamp(fixedMs, 0, FIXED_MAX_MS);
  }

  /** A frame of `track` arrived; those of the past (`live` false) say nothing about jitter. */
  arrived(track, mediaMs, nowMs, live) {
    const before = this.#tracks.get(track);
    const known = before ?? { newestMs: -Infinity, intervalMs: 0, atMs: nowMs };
    const step = mediaMs - known.newestMs;
    if (step > 0 && step < SILENT_MS) {
      known.intervalMs = known.intervalMs === 0 ? step : known.intervalMs * 0.95 + step * 0.05;
    }
    known.newestMs = step < -JUMP_MS ? mediaMs : Math.max(known.newestMs, mediaMs);
    known.atMs = nowMs;
    this.#tracks.set(track, known);
    if (!live) {
      this.#arrivals.fastest = Math.min(this.#arrivals.fastest, nowMs - mediaMs);
    } else if (this.#arrivals.add(nowMs, nowMs - mediaMs)) {
      this.#tracks.forEach((other) => {
        other.newestMs = mediaMs;
      });
    }
  }

  get jitterMs() {
    return this.#arrivals.jitterMs;
  }

  /** Where playing is, in media time. */
  positionMs(nowMs) {
    if (!this.#anchor) return undefined;
    const { mediaMs, atMs } = this.#anchor;
    return this.state === "playing" ? mediaMs + (nowMs - atMs) * this.rate : mediaMs;
  }

  /** How far playing is behind what arrives fastest. */
  lagMs(nowMs) {
    return this.#anchor && nowMs - this.#arrivals.fastest - this.positionMs(nowMs);
  }

  /** What is there ahead of the position, in ms: of the track that has least. */
  aheadMs(nowMs, slack = 0) {
    const position = this.positionMs(nowMs) ?? 0;
    let ahead = Infinity;
    for (const { newestMs, intervalMs, atMs } of this.#tracks.values()) {
      if (nowMs - atMs < SILENT_MS) {
        ahead = Math.min(ahead, newestMs + intervalMs * (1 + slack) - position);
      }
    }
    return ahead;
  }

  /** Begins at the target's distance, or goes there at once. */
  skipToLive(nowMs) {
    if (this.#arrivals.fastest === Infinity) return;
    this.#anchor = { mediaMs: nowMs - this.#arrivals.fastest - this.targetMs, atMs: nowMs };
    this.rate = 1;
    this.#correcting = false;
    this.state = "playing";
  }

  /** Where the sound really is: the clock follows it. Says whether it is too far to follow. */
  heard(mediaMs, nowMs) {
    const error = mediaMs - this.positionMs(nowMs);
    if (Math.abs(error) > 120) return false;
    this.#moveTo(this.positionMs(nowMs) + error * 0.08, nowMs);
    return true;
  }

  /** Call it some times a second. Returns "skip" when the position has jumped. */
  tick(nowMs) {
    this.#arrivals.measure(nowMs);
    this.#retarget(nowMs);
    if (!this.#anchor) return undefined;
    const ahead = this.aheadMs(nowMs, 0.5);
    if (ahead === Infinity || ahead < 0) return this.#stall(nowMs, ahead);
    const lag = this.lagMs(nowMs);
    if (lag - this.targetMs > SKIP_LAG_MS || lag < -JUMP_MS) {
      this.skips += 1;
      this.skipToLive(nowMs);
      return "skip";
    }
    if (this.state === "stalled") {
      // What is there must last until the next arrival, or it would stutter.
      if (this.aheadMs(nowMs) < Math.min(this.targetMs, 1000)) return undefined;
      this.#moveTo(this.positionMs(nowMs), nowMs);
      this.state = "playing";
      return "skip";
    }
    this.#correct(lag - this.targetMs, nowMs);
    return undefined;
  }

  #stall(nowMs, ahead) {
    if (this.state !== "playing") return undefined;
    this.#moveTo(this.positionMs(nowMs), nowMs);
    this.state = "stalled";
    // A publisher's pause is not a lack of buffer.
    if (ahead !== Infinity) this.stalls += 1;
    return undefined;
  }

  #retarget(nowMs) {
    if (this.#fixedMs !== undefined) return;
    const wanted = clamp(this.#arrivals.jitterMs + MARGIN_MS, TARGET_MIN_MS, TARGET_MAX_MS);
    if (wanted > this.targetMs) {
      this.targetMs = wanted;
      this.#calmSince = undefined;
    } else if (wanted > this.targetMs - FALL_MIN_MS) {
      this.#calmSince = undefined;
    } else {
      this.#calmSince ??= nowMs;
      if (nowMs - this.#calmSince < CALM_MS) return;
      this.targetMs = Math.max(wanted, this.targetMs * 0.8);
      this.#calmSince = nowMs;
    }
  }

  #correct(error, nowMs) {
    if (Math.abs(error) > CORRECT_FROM_MS) this.#correcting = true;
    if (Math.abs(error) < CORRECT_UNTIL_MS) this.#correcting = false;
    const step = this.#correcting ? clamp(error / CORRECT_OVER_MS, -RATE_STEP_MAX, RATE_STEP_MAX)
      : 0;
    this.#moveTo(this.positionMs(nowMs), nowMs);
    this.rate = 1 + step;
  }

  #moveTo(mediaMs, atMs) {
    this.#anchor = { mediaMs, atMs };
  }

  /** The stream begins anew. */
  reset() {
    this.#arrivals.reset();
    this.#tracks.clear();
    this.#anchor = undefined;
    this.#calmSince = undefined;
    this.rate = 1;
    this.state = "idle";
  }
}

function clamp(value, least, most) {
  return Math.min(Math.max(value, least), most);
}
