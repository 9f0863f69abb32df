// The player's own thread: network, decoding, timing and drawing; the page only shows and steers.
import { Audio } from "./audio.js";
import { Connection } from "./connection.js";
import { mediaProperties } from "./loc.js";
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
/** Time between corrections of the audio thread's place, in ms. */
const SEEK_MS = 300;

class Player {
  #canvas;
  #context;
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
  #firstArrivalAt;
  #lastArrivalAt = 0;
  #lastSeekAt = 0;
  #lastFrameAt = 0;
  #bytes = 0;
  #offsetMs;
  #previous = { atMs: performance.now(), bytes: 0, rendered: 0 };

  constructor({ canvas, latencyMs, ...target }) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false });
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
      case "pause": return void (this.#paused = data.paused);
      case "live": return this.#toLive(performance.now());
      case "retry": return this.#connection.retry();
      case "stop":
        this.#connection.close();
        return self.close();
      default: return undefined;
    }
  }

  /** New tracks, or none when the stream is over. */
  async #setTracks(tracks) {
    this.#video?.close();
    this.#audio?.close();
    this.#playout.reset();
    this.#video = this.#audio = undefined;
    this.#refused = {};
    this.#firstArrivalAt = undefined;
    if (this.#state === "codec") this.#state = undefined;
    const { video, audio } = tracks ?? {};
    if (video) {
      this.#video = new Video(video, {
        decoded: () => this.#state !== "live" && this.#draw(performance.now()),
        unsupported: (codec) => this.#cannot("video", codec),
      });
    }
    if (audio) {
      const decoder = new Audio(audio, {
        unsupported: (codec) => this.#cannot("audio", codec),
      });
      this.#audio = decoder;
      const { sampleRate, channels } = audio;
      const buffer = decoder.shared ? decoder.buffer : undefined;
      postMessage({ kind: "audio", sampleRate, channels, buffer });
    } else if (tracks) {
      postMessage({ kind: "audio" });
    }
    this.tracks = tracks;
    // The browser's answer may take longer than the first frames, so those do not wait for it.
    for (const [kind, track] of [["video", this.#video], ["audio", this.#audio]]) {
      if (track && !(await track.supported())) this.#cannot(kind, tracks[kind].codec);
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
    const quiet = now - this.#lastArrivalAt > QUIET_MS;
    if (quiet && this.#state === "live") this.#become("interrupted");
    const soundOnly = !this.#video && this.#playout.state === "playing";
    if (!quiet && (soundOnly || this.#video?.shownMs !== undefined)) this.#become("live");
  }

  #draw(now) {
    const frame = this.#video?.due(this.#playout.positionMs(now));
    if (!frame) return;
    this.#measureOffset(frame.timestamp / 1000);
    if (this.#paused) return;
    const { displayWidth: width, displayHeight: height } = frame;
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      this.#canvas.width = width;
      this.#canvas.height = height;
      postMessage({ kind: "size", width, height });
    }
    this.#context.drawImage(frame, 0, 0, width, height);
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

  async #report(now) {
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
      dropped: (this.#video?.dropped ?? 0) + (this.#audio?.dropped ?? 0),
      decodeErrors: this.#video?.decodeErrors ?? 0,
      underruns: this.#audio?.underruns ?? 0,
      level: this.#audio?.level ?? 0,
      offsetMs: this.#offsetMs,
      firstPictureMs: this.#firstPictureMs,
      width: this.#canvas.width,
      height: this.#canvas.height,
      videoCodec: this.tracks?.video?.codec,
      audioCodec: this.tracks?.audio?.codec,
      sharedMemory: this.#audio?.shared,
      ...(await this.#connection.facts()),
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
