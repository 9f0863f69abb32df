// A stream's sound: decoded into the ring, and the audio thread steered.
import { CAPACITY, RATE_ONE, Ring, WORD } from "./ring.js";

/** Encoded frames waiting in the decoder: half a second. */
const QUEUE_MAX = 25;
/** Encoded frames that wait for their turn in it, whatever comes at once with a group: as much as
 *  the ring holds. */
const WAITING_MAX = 250;
/** Sound before the position that is decoded, in ms: decoders begin with a frame or two of it. */
const BEFORE_MS = 80;
/** A difference between a frame's time and its decoded sound's that is a gap, in ms. */
const GAP_MS = 60;
/** Faulty frames in a row after which the codec counts as not supported. */
const FAULTS_MAX = 10;

export class Audio {
  #track;
  #on;
  #decoder;
  #config;
  /** `{config, timestampUs, payload}`, ascending; `config` where it is another one than before. */
  #waiting = [];
  #newestConfig;
  #fromMs = -Infinity;
  #port;
  #ring;
  #format = {};
  #baseMs;
  #seeks = 0;
  /** Times of the frames in the decoder: what comes out counts samples, and passes over gaps. */
  #times = [];
  #shiftMs = 0;
  #faults = 0;
  dropped = 0;

  /**
   * `on.format({sampleRate, channels, buffer})` when there is sound, which is known for sure only
   * then: catalogs tell half the rate of some; `on.unsupported(codec)` when it cannot be decoded.
   */
  constructor(track, on) {
    this.#track = track;
    this.#on = on;
    this.#config = track.description;
    this.#newestConfig = track.description;
    this.shared = globalThis.crossOriginIsolated === true;
  }

  /** Whether the browser can decode it. */
  async supported() {
    try {
      return (await AudioDecoder.isConfigSupported(this.#settings())).supported === true;
    } catch {
      return false;
    }
  }

  #settings() {
    const { codec, sampleRate, channels } = this.#track;
    // Raw Opus packets are decoded without a description.
    const description = codec === "opus" ? undefined : this.#config;
    return { codec, sampleRate, numberOfChannels: channels, description };
  }

  /** Without shared memory, samples and orders go to the audio thread by this port. */
  attach(port) {
    if (this.shared || !this.#ring) return;
    this.#port = port;
    port.onmessage = ({ data }) => {
      for (const [word, value] of data) this.#ring.store(word, value);
    };
    const { rate, playing, seekTo, seeks } = WORD;
    const words = [rate, playing, seekTo, seeks].map((word) => [word, this.#ring.load(word)]);
    port.postMessage({ words });
  }

  push(object, media) {
    const other = media.config && !same(media.config, this.#newestConfig);
    if (other) this.#newestConfig = media.config;
    this.#waiting.push({ config: other ? media.config : undefined,
      timestampUs: media.timestampUs, payload: object.payload });
    if (this.#waiting.length > WAITING_MAX) this.#leaveOut();
  }

  /** Frames before `positionMs` came with others, and are not missed. */
  from(positionMs) {
    this.#fromMs = positionMs;
  }

  /** The oldest frame that waits is not decoded. */
  #leaveOut() {
    const [{ config, timestampUs }, next] = this.#waiting;
    this.#waiting.shift();
    if (next) next.config ??= config;
    if (timestampUs / 1000 >= this.#fromMs) this.dropped += 1;
  }

  /** Feeds the decoder, with what can still be heard. */
  decode(positionMs) {
    while (this.#waiting.length > 0) {
      const [, next] = this.#waiting;
      if (next && next.timestampUs / 1000 < positionMs - BEFORE_MS) {
        this.#leaveOut();
        continue;
      }
      if (this.#decoder?.decodeQueueSize >= QUEUE_MAX) return;
      this.#feed(this.#waiting.shift());
    }
  }

  #feed({ config, timestampUs, payload }) {
    if (config) {
      this.#config = config;
      this.#close();
    }
    if (!this.#decoder || this.#decoder.state !== "configured") this.#open();
    if (!this.#decoder) return;
    const chunk = { type: "key", timestamp: timestampUs, data: payload };
    try {
      this.#decoder.decode(new EncodedAudioChunk(chunk));
      this.#times.push(timestampUs);
    } catch {
      this.#fault();
    }
  }

  #open() {
    if (this.#faults > FAULTS_MAX) return;
    this.#decoder = new AudioDecoder({
      output: (data) => this.#decoded(data),
      error: () => this.#fault(),
    });
    try {
      this.#decoder.configure(this.#settings());
    } catch {
      this.#fault();
    }
  }

  #fault() {
    this.dropped += 1;
    this.#faults += 1;
    this.#close();
    if (this.#faults === FAULTS_MAX) this.#on.unsupported(this.#track.codec);
  }

  #decoded(data) {
    this.#faults = 0;
    const { numberOfChannels, numberOfFrames, timestamp, sampleRate } = data;
    this.#become(sampleRate, numberOfChannels);
    const planes = Array.from({ length: numberOfChannels }, (_, planeIndex) => {
      const plane = new Float32Array(numberOfFrames);
      data.copyTo(plane, { planeIndex, format: "f32-planar" });
      return plane;
    });
    data.close();
    const shiftMs = ((this.#times.shift() ?? timestamp) - timestamp) / 1000;
    if (Math.abs(shiftMs - this.#shiftMs) > GAP_MS) this.#shiftMs = shiftMs;
    const mediaMs = timestamp / 1000 + this.#shiftMs;
    this.#baseMs ??= mediaMs;
    const place = this.#stick(this.#placeOf(mediaMs));
    this.#ring.write(place, planes);
    if (!this.shared) this.#port?.postMessage({ place, planes });
  }

  /** The sound has this format; with another one than before, it begins anew. */
  #become(sampleRate, channels) {
    if (sampleRate === this.#format.sampleRate && channels === this.#format.channels) return;
    const buffer = Ring.allocate(channels, this.shared);
    this.#format = { sampleRate, channels };
    this.#ring = new Ring(buffer, channels);
    this.#ring.store(WORD.rate, RATE_ONE);
    this.#port = undefined;
    this.#baseMs = undefined;
    this.#seeks = 0;
    this.#on.format({ sampleRate, channels, buffer: this.shared ? buffer : undefined });
  }

  /** Timestamps are rounded to the millisecond; sound that follows on must not be cut by that. */
  #stick(place) {
    const written = this.#ring.load(WORD.written);
    const slack = this.#format.sampleRate / 200;
    return Math.abs((place - written) | 0) < slack ? written : place;
  }

  #placeOf(mediaMs) {
    return Math.round(((mediaMs - this.#baseMs) * this.#format.sampleRate) / 1000) | 0;
  }

  /** Takes the audio thread to `mediaMs`. */
  seek(mediaMs) {
    if (this.#baseMs === undefined) return;
    this.#seeks += 1;
    this.#tell([[WORD.seekTo, this.#placeOf(mediaMs)], [WORD.seeks, this.#seeks]]);
  }

  steer(playing, rate) {
    if (!this.#ring) return;
    const words = [[WORD.playing, playing ? 1 : 0], [WORD.rate, Math.round(rate * RATE_ONE)]];
    this.#tell(words.filter(([word, value]) => this.#ring.load(word) !== value));
  }

  #tell(words) {
    if (!this.#ring) return;
    for (const [word, value] of words) this.#ring.store(word, value);
    if (words.length > 0 && !this.shared) this.#port?.postMessage({ words });
  }

  /** Media time that the audio thread is at; undefined while it has nothing to play. */
  positionMs() {
    if (this.#baseMs === undefined || this.#seeks === 0) return undefined;
    const read = this.#ring.load(WORD.read);
    const ahead = this.#ring.ahead(read);
    const settled = this.#ring.load(WORD.sought) === this.#seeks;
    if (!settled || ahead <= 0 || ahead > CAPACITY) return undefined;
    return this.#baseMs + (read * 1000) / this.#format.sampleRate;
  }

  /** Whether there is sound at `mediaMs`. */
  holds(mediaMs) {
    if (this.#baseMs === undefined) return false;
    const ahead = this.#ring.ahead(this.#placeOf(mediaMs));
    return ahead > this.#format.sampleRate / 100 && ahead < CAPACITY;
  }

  get underruns() {
    return this.#ring?.load(WORD.underruns) ?? 0;
  }

  /** Root mean square of what is being played, 0 to 1. */
  get level() {
    return (this.#ring?.load(WORD.level) ?? 0) / RATE_ONE;
  }

  #close() {
    if (this.#decoder && this.#decoder.state !== "closed") this.#decoder.close();
    this.#decoder = undefined;
    this.#times = [];
    this.#shiftMs = 0;
  }

  close() {
    this.#close();
    this.#waiting = [];
    this.#tell([[WORD.playing, 0]]);
  }
}

export function same(a, b) {
  return a?.length === b?.length && a.every((byte, at) => byte === b[at]);
}
