// When to show what: keeps the playing position as far behind as arrivals are uneven. Pure: media
// time and wall time come in as milliseconds, decisions come out.
import { Arrivals, JUMP_MS } from "./arrivals.js";

/** Least distance behind the fastest arrival, in ms: two screen refreshes. */
export const TARGET_MIN_MS = 35;
/** Most that is kept for jitter, in ms: beyond, it is an outage, and live is worth more. */
export const TARGET_MAX_MS = 1200;
/** Most that `?latency=` sets, in ms: the sound's ring holds five seconds. */
export const FIXED_MAX_MS = 4000;
/** On top of the measured jitter, in ms: decoding and the timers' grain. */
const MARGIN_MS = 15;
/** How far beyond what is usual is gone, in parts of how far late habits go: the next of their like
 *  may be later still, as when what was sent again is lost once more. */
const HABIT_BEYOND = 1.75;
/** The target falls only when it could have been lower for so long, in ms, and by this much. */
const CALM_MS = 6000;
const FALL_MIN_MS = 20;
/** Differences of the sound's way to the speakers that are followed, and the longest, in ms:
 *  wireless ones take a quarter of a second. */
const LEAD_STEP_MS = 12;
const LEAD_MAX_MS = 500;
/** Sound further from the position is moved, not followed, in ms; and how much of the difference
 *  a look at it takes away: what the system says of the sound is uneven. */
const FOLLOW_MS = 120;
const FOLLOW_SHARE = 0.08;
/** Rates that nobody hears, and where correcting starts and stops, in ms. */
const RATE_STEP_MAX = 0.03;
/** The same while no sound is heard: an eye does not see it. */
const UNHEARD_STEP_MAX = 0.1;
/** With less than this ahead, or half of the target, in ms, a picture without sound slows down to
 *  the rate: what is late may still come, and slow for a moment is better than still. */
const BRAKE_MS = 150;
const BRAKE_RATE_MIN = 0.5;
/** Time between measurements of the arrivals, in ms: each sorts some hundred of them. */
const MEASURE_MS = 100;
/** Time between looks, in ms, after which it was this thread that stood still: what has come in the
 *  meantime is looked at first. */
const LATE_LOOK_MS = 120;
const CORRECT_FROM_MS = 15;
const CORRECT_UNTIL_MS = 4;
/** Time in which a difference would be made up without the rate's limit, in ms. */
const CORRECT_OVER_MS = 2000;
/** A lag beyond the target that is skipped and not caught up, in ms: catching up takes 50 s. */
export const SKIP_LAG_MS = 1500;
/** A track that is silent for so long does not hold the others up, in ms. */
export const SILENT_MS = 1500;

/** The playing position: where it is, how fast it moves, how far behind it should be. */
export class Playout {
  #arrivals = new Arrivals();
  #tracks = new Map();
  #fixedMs;
  #anchor;
  #calmSince;
  #correcting = false;
  #baseMs = TARGET_MIN_MS + MARGIN_MS;
  #leads = new Map();
  #leadMs = 0;
  #heard = true;
  #lookedAt = -Infinity;
  #measuredAt = -Infinity;
  rate = 1;
  state = "idle";
  stalls = 0;
  skips = 0;

  /** `fixedMs` sets the target instead of what is measured. */
  constructor(fixedMs) {
    this.#fixedMs = fixedMs;
    if (fixedMs !== undefined) this.#baseMs = clamp(fixedMs, 0, FIXED_MAX_MS);
  }

  /** Distance behind the fastest arrival that is wanted, in ms. */
  get targetMs() {
    const { intervalMs = 0 } = this.#tracks.get("audio") ?? {};
    if (this.#fixedMs === undefined || this.#leadMs === 0) return this.#baseMs + this.#leadMs;
    // A wish for less than the speakers take would be a wish for silence.
    return Math.max(this.#baseMs, this.#leadMs + intervalMs + MARGIN_MS);
  }

  /**
   * What is played of `track` must be there so much earlier than it is heard, in ms: the time that
   * the system keeps sound before the speakers. Goes back at once where that is needed.
   */
  lead(track, ms, nowMs) {
    const before = this.#leads.get(track) ?? 0;
    if (Math.abs(ms - before) < LEAD_STEP_MS && ms !== 0) return;
    this.#leads.set(track, Math.min(ms, LEAD_MAX_MS));
    this.#leadMs = Math.max(0, ...this.#leads.values());
    if (this.#anchor && this.lagMs(nowMs) < this.targetMs) this.skipToLive(nowMs);
  }

  /** Whether sound is heard: where it is not, it holds nothing up, and rates may differ more. */
  hear(heard) {
    this.#heard = heard;
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
    const unheard = this.#heard || this.#tracks.size < 2 ? undefined : "audio";
    for (const [track, { newestMs, intervalMs, atMs }] of this.#tracks) {
      if (nowMs - atMs < SILENT_MS && track !== unheard) {
        const lead = this.#leads.get(track) ?? 0;
        ahead = Math.min(ahead, newestMs + intervalMs * (1 + slack) - position - lead);
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

  /** Whether sound of `mediaMs` is near enough to the position to be followed. */
  follows(mediaMs, nowMs) {
    return Math.abs(mediaMs - this.positionMs(nowMs)) < FOLLOW_MS;
  }

  /** Where the sound really is: the clock follows it. */
  heard(mediaMs, nowMs) {
    const error = mediaMs - this.positionMs(nowMs);
    this.#moveTo(this.positionMs(nowMs) + error * FOLLOW_SHARE, nowMs);
  }

  /** Call it some times a second. Returns "skip" when the position has jumped. */
  tick(nowMs) {
    if (!(nowMs - this.#measuredAt < MEASURE_MS)) {
      this.#measuredAt = nowMs;
      this.#arrivals.measure(nowMs);
      this.#retarget(nowMs);
    }
    const late = nowMs - this.#lookedAt > LATE_LOOK_MS;
    this.#lookedAt = nowMs;
    if (!this.#anchor) return undefined;
    const ahead = this.aheadMs(nowMs, 0.5);
    if (ahead === Infinity || ahead < 0) return late ? undefined : this.#stall(nowMs, ahead);
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
    if (!this.#heard) this.#brake(ahead);
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
    const { jitterMs, usualMs, habitMs } = this.#arrivals;
    const beyond = Math.max(0, habitMs - usualMs) * HABIT_BEYOND;
    const late = Math.max(jitterMs, usualMs + beyond) + MARGIN_MS;
    const wanted = clamp(late, TARGET_MIN_MS, TARGET_MAX_MS);
    if (wanted > this.#baseMs) {
      this.#baseMs = wanted;
      this.#calmSince = undefined;
    } else if (wanted > this.#baseMs - FALL_MIN_MS) {
      this.#calmSince = undefined;
    } else {
      this.#calmSince ??= nowMs;
      if (nowMs - this.#calmSince < CALM_MS) return;
      this.#baseMs = Math.max(wanted, this.#baseMs * 0.8);
      this.#calmSince = nowMs;
    }
  }

  #correct(error, nowMs) {
    if (Math.abs(error) > CORRECT_FROM_MS) this.#correcting = true;
    if (Math.abs(error) < CORRECT_UNTIL_MS) this.#correcting = false;
    const most = this.#heard ? RATE_STEP_MAX : UNHEARD_STEP_MAX;
    const step = this.#correcting ? clamp(error / CORRECT_OVER_MS, -most, most) : 0;
    this.#moveTo(this.positionMs(nowMs), nowMs);
    this.rate = 1 + step;
  }

  #brake(ahead) {
    const enough = Math.min(BRAKE_MS, this.targetMs / 2);
    if (ahead < enough) this.rate = Math.min(this.rate, Math.max(BRAKE_RATE_MIN, ahead / enough));
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
