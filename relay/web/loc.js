// LOC: what an object's properties say about its media.
import { pairs } from "./moqt.js";

const IMMUTABLE = 0x0b;
const TIMESTAMP = 0x10;
const TIMESTAMP_LEGACY = 0x06;
const TIMESCALE = 0x08;
const VIDEO_CONFIG = 0x0d;
const AUDIO_CONFIG = 0x0f;
/** Weir's own: how much later than decoded an object is shown; absent without B-frames. */
const DECODE_DELAY = 0x3800;

/** Presentation time in microseconds, decoder configuration, and whether frames are reordered. */
export function mediaProperties(block, trackTimescale = 1_000_000) {
  const found = new Map();
  for (const [type, value] of pairs(block)) {
    if (type === IMMUTABLE) for (const [inner, held] of pairs(value)) found.set(inner, held);
    else found.set(type, value);
  }
  const ticks = found.get(TIMESTAMP) ?? found.get(TIMESTAMP_LEGACY);
  const timescale = found.get(TIMESCALE) || trackTimescale;
  return {
    timestampUs: ticks === undefined ? undefined : Math.round((ticks * 1e6) / timescale),
    config: found.get(VIDEO_CONFIG) ?? found.get(AUDIO_CONFIG),
    reordered: found.has(DECODE_DELAY),
  };
}
