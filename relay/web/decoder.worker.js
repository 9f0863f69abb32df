// The player's own thread: network, decoding and timing; the page only shows and steers.
import { Audio } from "./audio.js";
import { Connection } from "./connection.js";
import { mediaProperties } from "./loc.js";
import { sameDecoding } from "./msf.js";
import { Playout } from "./playout.js";
import { Video } from "./video.js";

/** Time between looks at buffer and sound, in ms: a fraction of the smallest target. */
const TICK_MS = 20;
const STATS_MS = 500;
/** Without frames of the page's screen for so long, in ms, its tab is hidden. */
const HIDDEN_MS = 200;
/** The past may take so long until playing starts without it, in ms. */
const JOIN_MS = 250;
/** Silence after which the streamer counts as interrupted, in ms. */
const QUIET_MS = 2500;
/** Pictures handed to the page and not shown yet; a busy page gets fewer. */
const UNSHOWN_MAX = 3;
/** Time between corrections of the audio thread's place, in ms. */
const SEEK_MS = 300;

class Player {
  #size = { width: 0, height: 0 };
  /** Pictures on their way to the screen. */
  #unshown = 0;
  #undrawn = 0;
  #playout;
  #connection;
  #video;
  #audio;
  #output = { running: false, latencyMs: 0 };
  #paused = false;
  #state;
  #refused = {};
  #startedAt = performance.now();
  #firstPictureMs;
  /** Whether something new was shown or heard since the last interruption. */
  #fresh = false;
  #firstArrivalAt;
  #lastArrivalAt = 0;
  #lastSeekAt = 0;
  #lastFrameAt = 0;
  #bytes = 0;
  #offsetMs;
  #previous = { atMs: performance.now(), bytes: 0, rendered: 0 };

  constructor({ latencyMs, ...target }) {
    this.#playout = new Playout(latencyMs);
    this.#connection = new Connection(target, {
      state: (state, detail) => this.#become(state, detail),
      tracks: (tracks) => this.#setTracks(tracks),
      bytes: (count) => {
        this.#bytes += count;
      },
      object: (kind, object, timescale) => this.#object(kind, object, timescale),
      arrived: (kind, object, timescale) => this.#arrived(kind, object, timescale),
    });
    this.#connection.run();
    setInterval(() => this.#tick(performance.now()), TICK_MS);
    setInterval(() => this.#report(performance.now()), STATS_MS);
    const frame = () => {
      this.#lastFrameAt = performance.now();
      this.#draw(this.#lastFrameAt);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  command(data) {
    switch (data.kind) {
      case "port": return this.#audio?.attach(data.port);
      case "output": return void (this.#output = data);
      case "shown": return void (this.#unshown -= 1);
      case "pause": return void (this.#paused = data.paused);
      case "live": return this.#toLive(performance.now());
      case "retry": return this.#connection.retry();
      case "stop":
        this.#connection.close();
        return self.close();
      default: return undefined;
    }
  }

  /** Other tracks than before, or none when the stream is over. */
  #setTracks(tracks) {
    const before = this.tracks ?? {};
    this.tracks = tracks;
    if (!tracks) {
      this.#playout.reset();
      this.#firstArrivalAt = undefined;
      this.#fresh = false;
    }
    if (!sameDecoding(before.video, tracks?.video)) this.#setVideo(tracks?.video);
    if (!sameDecoding(before.audio, tracks?.audio)) this.#setAudio(tracks?.audio);
  }

  #setVideo(track) {
    this.#video?.close();
    this.#video = undefined;
    this.#refused.video = undefined;
    if (this.#state === "codec") this.#state = undefined;
    if (!track) return;
    this.#video = new Video(track, {
      decoded: () => this.#state !== "live" && this.#draw(performance.now()),
      unsupported: (codec) => this.#cannot("video", codec),
    });
    this.#ask("video", this.#video, track);
  }

  #setAudio(track) {
    this.#audio?.close();
    this.#audio = undefined;
    this.#refused.audio = undefined;
    if (!track) return postMessage({ kind: "audio" });
    this.#audio = new Audio(track, {
      unsupported: (codec) => this.#cannot("audio", codec),
    });
    const { sampleRate, channels } = track;
    const buffer = this.#audio.shared ? this.#audio.buffer : undefined;
    postMessage({ kind: "audio", sampleRate, channels, buffer });
    return this.#ask("audio", this.#audio, track);
  }

  /** The browser's answer may take longer than the first frames, so those do not wait for it. */
  async #ask(kind, decoder, track) {
    if (!(await decoder.supported()) && this.tracks?.[kind] === track) {
      this.#cannot(kind, track.codec);
    }
  }

  #cannot(kind, codec) {
    this.#refused[kind] = codec;
    const { video, audio } = this.tracks ?? {};
    const nothing = (!video || this.#refused.video) && (!audio || this.#refused.audio);
    if (nothing || kind === "video") this.#become("codec", { codec, kind });
    else postMessage({ kind: "notice", notice: "no-sound", codec });
  }

  #arrived(kind, object, timescale) {
    const media = mediaProperties(object.properties, timescale);
    object.media = media;
    if (media.timestampUs === undefined) return;
    this.#lastArrivalAt = object.arrivedMs;
    this.#firstArrivalAt ??= object.arrivedMs;
    this.#playout.arrived(kind, media.timestampUs / 1000, object.arrivedMs, object.live);
    if (object.live) this.#begin(object.arrivedMs);
  }

  #object(kind, object) {
    const track = kind === "video" ? this.#video : this.#audio;
    if (object.media?.timestampUs === undefined || this.#refused[kind]) return;
    track?.push(object, object.media);
    if (kind === "video") track?.decode(this.#playout.positionMs(performance.now()));
  }

  /** Playing begins when the past is here, which the first live object says, or too late. */
  #begin(now) {
    if (this.#playout.state !== "idle") return;
    this.#toLive(now);
  }

  #toLive(now) {
    this.#playout.skipToLive(now);
    this.#lastSeekAt = 0;
    this.#follow(now);
  }

  #tick(now) {
    if (this.#firstArrivalAt !== undefined && now - this.#firstArrivalAt > JOIN_MS) {
      this.#begin(now);
    }
    if (this.#playout.tick(now) === "skip") this.#lastSeekAt = 0;
    this.#follow(now);
    this.#video?.decode(this.#playout.positionMs(now));
    if (now - this.#lastFrameAt > HIDDEN_MS) this.#draw(now);
    this.#watch(now);
  }

  /** Keeps sound and clock together: the clock follows the sound, unless they are far apart. */
  #follow(now) {
    const audio = this.#audio;
    if (!audio) return;
    const playing = this.#playout.state === "playing";
    audio.steer(playing && !this.#paused, this.#playout.rate);
    if (!playing || this.#paused || !this.#output.running) return;
    const at = audio.positionMs();
    const heardMs = at === undefined ? undefined : at - this.#output.latencyMs;
    const together = heardMs !== undefined && this.#playout.heard(heardMs, now);
    const wanted = this.#playout.positionMs(now) + this.#output.latencyMs;
    if (together || now - this.#lastSeekAt < SEEK_MS || !audio.holds(wanted)) return;
    this.#lastSeekAt = now;
    audio.seek(wanted);
  }

  #watch(now) {
    if (this.#firstArrivalAt === undefined || this.#state === "codec") return;
    if (now - this.#lastArrivalAt > QUIET_MS) {
      this.#fresh = false;
      if (this.#state === "live") this.#become("interrupted");
      return;
    }
    if (!this.#video && this.#playout.state === "playing") this.#fresh = true;
    if (this.#fresh) this.#become("live");
  }

  #draw(now) {
    const frame = this.#video?.due(this.#playout.positionMs(now));
    if (!frame) return;
    this.#fresh = true;
    this.#measureOffset(frame.timestamp / 1000);
    this.#size = { width: frame.displayWidth, height: frame.displayHeight };
    if (this.#paused || this.#unshown >= UNSHOWN_MAX) {
      if (!this.#paused) this.#undrawn += 1;
      frame.close();
      return;
    }
    this.#unshown += 1;
    postMessage({ kind: "picture", frame }, [frame]);
    if (this.#firstPictureMs === undefined) this.#firstPictureMs = now - this.#startedAt;
    this.#watch(now);
  }

  /** How much earlier the picture is than its sound, smoothed. */
  #measureOffset(shownMs) {
    const at = this.#output.running ? this.#audio?.positionMs() : undefined;
    if (at === undefined) return void (this.#offsetMs = undefined);
    const offset = shownMs - (at - this.#output.latencyMs);
    this.#offsetMs = this.#offsetMs === undefined ? offset : this.#offsetMs * 0.9 + offset * 0.1;
  }

  #become(state, detail) {
    if (state === this.#state && detail === undefined) return;
    this.#state = state;
    postMessage({ kind: "state", state, detail });
  }

  #report(now) {
    const playout = this.#playout;
    const seconds = (now - this.#previous.atMs) / 1000;
    const rendered = this.#video?.rendered ?? 0;
    const stats = {
      lagMs: playout.lagMs(now),
      targetMs: playout.targetMs,
      aheadMs: Number.isFinite(playout.aheadMs(now)) ? playout.aheadMs(now) : 0,
      jitterMs: playout.jitterMs,
      rate: playout.rate,
      stalls: playout.stalls,
      skips: playout.skips,
      rendered,
      fps: Math.max(0, rendered - this.#previous.rendered) / seconds,
      bitrateBps: ((this.#bytes - this.#previous.bytes) * 8) / seconds,
      dropped: this.#undrawn + (this.#video?.dropped ?? 0) + (this.#audio?.dropped ?? 0),
      decodeErrors: this.#video?.decodeErrors ?? 0,
      underruns: this.#audio?.underruns ?? 0,
      level: this.#audio?.level ?? 0,
      offsetMs: this.#offsetMs,
      firstPictureMs: this.#firstPictureMs,
      ...this.#size,
      videoCodec: this.tracks?.video?.codec,
      audioCodec: this.tracks?.audio?.codec,
      sharedMemory: this.#audio?.shared,
      ...this.#connection.facts(),
    };
    this.#previous = { atMs: now, bytes: this.#bytes, rendered };
    postMessage({ kind: "stats", stats });
  }
}

let player;
self.onmessage = ({ data }) => {
  if (data.kind === "start") player = new Player(data);
  else player?.command(data);
};
