// A stream's picture: decoded just ahead of the playing position and drawn when it is due.
import { same } from "./audio.js";

/** Frames that may lie decoded: decoders own a small pool of pictures. */
const DECODED_MAX = 8;
/** Frames that wait in the decoder's queue. */
const DECODING_MAX = 6;
/** How far ahead of the position frames are decoded, in ms: several frames' decoding time. */
const DECODE_AHEAD_MS = 400;
/** Encoded frames that may wait, and their bytes: whoever joins just before a key frame gets a
 *  whole group at once, and encoders make groups of ten seconds. Beyond, a group is left out. */
const WAITING_MAX = 1200;
const WAITING_BYTES_MAX = 64 << 20;
/** Decoders that failed in a row after which the codec counts as not supported. */
const FAULTS_MAX = 4;
/** Faults after which it is the hardware's decoder that is not trusted. */
const HARDWARE_FAULTS = 2;
/** Frames in the decoder whose times are remembered; decoders that drop some never say so. */
const TIMES_MAX = 64;

export class Video {
  #track;
  #on;
  #decoder;
  #config;
  #reordered = false;
  #needKey = true;
  #faults = 0;
  #waiting = [];
  #waitingBytes = 0;
  /** When frames in the decoder came and went in, by their timestamp. */
  #times = new Map();
  /** `{frame, arrivedMs, fedMs, decodedMs}` by their timestamp, ascending. */
  #decoded = [];
  #shownAny = false;
  #fromMs = -Infinity;
  rendered = 0;
  dropped = 0;
  decodeErrors = 0;

  /** `on.unsupported(codec)`, and `on.decoded()` when a picture came out of the decoder. */
  constructor(track, on) {
    this.#track = track;
    this.#on = on;
    this.#config = track.description;
    // It is ready by the time that the first frame is here, where that is decoded so.
    this.#open(this.#settings());
  }

  #settings() {
    const { codec, width, height } = this.#track;
    const noDescription = codec.startsWith("vp09") || codec.startsWith("av01");
    const description = noDescription ? undefined : this.#config;
    const size = width && height ? { codedWidth: width, codedHeight: height } : {};
    const distrust = this.#faults >= HARDWARE_FAULTS
      ? { hardwareAcceleration: "prefer-software" } : {};
    return { codec, description, ...size, ...distrust, optimizeForLatency: !this.#reordered };
  }

  async supported() {
    try {
      return (await VideoDecoder.isConfigSupported(this.#settings())).supported === true;
    } catch {
      return false;
    }
  }

  push(object, media) {
    const key = object.object === 0;
    if (key && media.reordered !== this.#reordered) {
      this.#reordered = media.reordered;
      this.#renew(object);
    }
    if (key && media.config && !same(media.config, this.#config)) {
      this.#config = media.config;
      this.#renew(object);
    }
    this.#waiting.push({ key, timestampUs: media.timestampUs, payload: object.payload, renew:
      object.renew, arrivedMs: object.arrivedMs });
    this.#waitingBytes += object.payload.length;
    const full = this.#waiting.length > WAITING_MAX || this.#waitingBytes > WAITING_BYTES_MAX;
    if (full) this.#leaveOut();
  }

  /** Frames before `positionMs` are decoded for the others' sake, and not missed. */
  from(positionMs) {
    this.#fromMs = positionMs;
  }

  /** The decoder is set up anew when it comes to this object. */
  #renew(object) {
    object.renew = this.#settings();
  }

  #leaveOut() {
    const next = this.#waiting.findIndex((frame, at) => at > 0 && frame.key);
    const count = next > 0 ? next : this.#waiting.length;
    this.dropped += count;
    for (const { payload } of this.#waiting.splice(0, count)) {
      this.#waitingBytes -= payload.length;
    }
    this.#needKey = true;
  }

  /** Feeds the decoder what is due soon. */
  decode(positionMs) {
    this.#passOver(positionMs);
    while (this.#waiting.length > 0) {
      // Not what went in and did not come out: decoders keep frames, or drop them silently.
      const decoding = this.#decoder?.decodeQueueSize ?? 0;
      const room = decoding < DECODING_MAX && this.#decoded.length < DECODED_MAX;
      const [frame] = this.#waiting;
      const soon = positionMs === undefined
        || frame.timestampUs / 1000 < positionMs + DECODE_AHEAD_MS;
      // The first picture is shown at once, whether or not playing has begun.
      if (!room || !(soon || !this.#shownAny)) return;
      this.#waiting.shift();
      this.#waitingBytes -= frame.payload.length;
      this.#feed(frame);
    }
  }

  /** Decoded frames that others have overtaken make room. */
  #passOver(positionMs) {
    if (positionMs === undefined || !this.#shownAny) return;
    while (this.#decoded.length > 1 && this.#decoded[1].frame.timestamp / 1000 <= positionMs) {
      this.#miss(this.#decoded.shift().frame);
    }
  }

  #miss(frame) {
    if (frame.timestamp / 1000 >= this.#fromMs) this.dropped += 1;
    frame.close();
  }

  #feed(frame) {
    if (frame.renew) this.#close();
    if (this.#needKey && !frame.key) {
      this.dropped += 1;
      return;
    }
    // Key frames can be decoded after any fault, with the next decoder.
    if (!this.#decoder) this.#open(frame.renew ?? this.#settings());
    if (!this.#decoder) return;
    const chunk = { type: frame.key ? "key" : "delta", timestamp: frame.timestampUs,
      data: frame.payload };
    try {
      this.#needKey = false;
      this.#times.set(frame.timestampUs, { arrivedMs: frame.arrivedMs, fedMs: performance.now() });
      if (this.#times.size > TIMES_MAX) this.#times.delete(this.#times.keys().next().value);
      this.#decoder.decode(new EncodedVideoChunk(chunk));
    } catch {
      this.#fault();
    }
  }

  #open(settings) {
    if (this.#faults > FAULTS_MAX) return;
    const decoder = new VideoDecoder({
      output: (frame) => this.#output(decoder, frame),
      error: () => decoder === this.#decoder && this.#fault(),
    });
    this.#decoder = decoder;
    try {
      decoder.configure(settings);
    } catch {
      this.#fault();
    }
  }

  /** Decoding goes on at the next key frame. */
  #fault() {
    this.#faults += 1;
    this.decodeErrors += 1;
    this.#close();
    if (this.#faults === FAULTS_MAX) this.#on.unsupported(this.#track.codec);
  }

  #output(decoder, frame) {
    if (decoder !== this.#decoder) {
      frame.close();
      return;
    }
    this.#faults = 0;
    const decodedMs = performance.now();
    const times = this.#times.get(frame.timestamp) ?? { arrivedMs: decodedMs, fedMs: decodedMs };
    this.#times.delete(frame.timestamp);
    let at = this.#decoded.length;
    while (at > 0 && this.#decoded[at - 1].frame.timestamp > frame.timestamp) at -= 1;
    this.#decoded.splice(at, 0, { frame, decodedMs, ...times });
    this.#on.decoded();
  }

  /**
   * Takes the frame that is due at the position, the newest of those that are, with its times:
   * `{frame, arrivedMs, fedMs, decodedMs}`. The frame is the caller's to close. Undefined when
   * nothing new is due.
   */
  due(positionMs) {
    let next;
    while (this.#decoded.length > 0) {
      const dueMs = this.#decoded[0].frame.timestamp / 1000;
      const early = positionMs === undefined || dueMs > positionMs;
      if (early && (this.#shownAny || next)) break;
      if (next) this.#miss(next.frame);
      next = this.#decoded.shift();
    }
    if (!next) return undefined;
    this.#shownAny = true;
    this.rendered += 1;
    return next;
  }

  #close() {
    if (this.#decoder && this.#decoder.state !== "closed") this.#decoder.close();
    this.#decoder = undefined;
    this.#needKey = true;
    this.#times.clear();
  }

  close() {
    this.#close();
    for (const { frame } of this.#decoded.splice(0)) frame.close();
    this.#waiting = [];
    this.#waitingBytes = 0;
  }
}
