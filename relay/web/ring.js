// Sound between the decoder and the audio thread: samples by their absolute place in the stream.
//
// Places are 32-bit and wrap around; only differences of them are looked at. The decoder writes
// and steers, the audio thread reads and reports, each word has one writer, so no lock is needed.

/** Samples of a channel: five seconds at 48 kHz, more than the largest target. */
export const CAPACITY = 1 << 18;

/** The header's words. The first row is the decoder's, the second the audio thread's. */
export const WORD = { written: 0, seekTo: 1, seeks: 2, rate: 3, playing: 4, first: 5,
  read: 8, underruns: 9, level: 10, sought: 11 };
const WORDS = 16;
/** The rate's unit: parts per million. */
export const RATE_ONE = 1_000_000;

export class Ring {
  /** `shared` makes it visible to both threads; else each has a copy and is told by messages. */
  static allocate(channels, shared) {
    const bytes = WORDS * 4 + channels * CAPACITY * 4;
    return shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
  }

  constructor(buffer, channels) {
    this.head = new Int32Array(buffer, 0, WORDS);
    this.planes = Array.from({ length: channels }, (_, channel) =>
      new Float32Array(buffer, WORDS * 4 + channel * CAPACITY * 4, CAPACITY));
  }

  load(word) {
    return Atomics.load(this.head, word);
  }

  store(word, value) {
    Atomics.store(this.head, word, value);
  }

  /** Samples from `place` on that may be read. */
  ahead(place) {
    return (this.load(WORD.written) - place) | 0;
  }

  /** Puts samples at `place`; what lies between them and the newest is silence. */
  write(place, planes) {
    const count = planes[0].length;
    const end = (place + count) | 0;
    const written = this.load(WORD.written);
    let gap = (place - written) | 0;
    if (gap > CAPACITY || gap < -CAPACITY) {
      this.store(WORD.first, place);
      gap = 0;
    }
    this.planes.forEach((ring, channel) => {
      for (let i = 0; i < gap; i += 1) ring[(written + i) & (CAPACITY - 1)] = 0;
      const plane = planes[Math.min(channel, planes.length - 1)];
      const at = place & (CAPACITY - 1);
      const fits = Math.min(count, CAPACITY - at);
      ring.set(plane.subarray(0, fits), at);
      ring.set(plane.subarray(fits), 0);
    });
    // Sound that is written again, as after a reconnect, does not take newer sound away.
    if (gap >= 0 || ((end - written) | 0) > 0) this.store(WORD.written, end);
  }
}
