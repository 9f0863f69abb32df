// The player's own thread: network, decoding and timing; the page only shows and steers.
import { Audio } from "./audio.js";
import { Connection } from "./connection.js";
import { Latency } from "./latency.js";
import { mediaProperties } from "./loc.js";
import { Measures } from "./measures.js";
import { sameDecoding } from "./msf.js";
import { Playout } from "./playout.js";
import { Reports, compose } from "./reports.js";
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
  /** Pictures on their way to the screen, oldest first. */
  #unshown = [];
  #playout;
  #connection;
  #reports;
  #latency = new Latency();
  #measures = new Measures(performance.now());
  #stream;
  #video;
  #audio;
  #output = { running: false, latencyMs: 0 };
  #paused = false;
  #state;
  #refused = {};
  #startedAt;
  #waited = false;
  /** Whether the stream that plays was asked for its clock. */
  #asked = false;
  /** Whether something new was shown or heard since the last interruption. */
  #fresh = false;
  /** Whether the relay should hear of what happened without waiting. */
  #news = false;
  #stallsTold = 0;
  /** The newest statistics, and those with which the session began. */
  #stats;
  #before;
  #firstArrivalAt;
  #lastArrivalAt = 0;
  #lastSeekAt = 0;
  #lastFrameAt = 0;

  constructor({ latency, reports, startedMs, ...target }) {
    const namespace = new URL(target.url).pathname.split("/").filter(Boolean)
      .map(decodeURIComponent);
    const latencyMs = parseFloat(latency);
    this.#stream = namespace.join("/");
    this.#startedAt = startedMs - performance.timeOrigin;
    this.#measures.started("workerMs", performance.now() - this.#startedAt);
    this.#playout = new Playout(Number.isFinite(latencyMs) ? latencyMs : undefined);
    this.#playout.hear(false);
    this.#reports = new Reports(this.#stream, reports);
    this.#connection = new Connection({ ...target, namespace }, {
      session: (session) => this.#setSession(session),
      state: (state, detail) => this.#become(state, detail),
      tracks: (tracks) => this.#setTracks(tracks),
      bytes: (count) => this.#measures.received(count),
      object: (kind, object) => this.#object(kind, object),
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
      case "output": return this.#setOutput(data, performance.now());
      case "shown": return this.#shown(data.atMs - performance.timeOrigin);
      case "pause": return void (this.#paused = data.paused);
      case "live": return this.#toLive(performance.now());
      case "retry": return this.#connection.retry();
      case "stop":
        this.#connection.close();
        return self.close();
      default: return undefined;
    }
  }

  /** A new session, or none when it is lost. */
  #setSession(session) {
    if (!session) return this.#reports.end();
    this.#before = this.#stats;
    this.#measures.started("connectedMs", performance.now() - this.#startedAt);
    return this.#reports.begin(session);
  }

  /** Other tracks than before, or none when the stream is over. */
  #setTracks(tracks) {
    const before = this.tracks ?? {};
    this.tracks = tracks;
    if (tracks && this.#waited) {
      // Waiting for the streamer is not the player's start.
      this.#startedAt = performance.now();
      this.#waited = false;
    }
    if (!tracks) {
      this.#playout.reset();
      this.#latency.reset();
      this.#firstArrivalAt = undefined;
      this.#fresh = false;
    }
    if (tracks && !this.#asked) this.#reports.live();
    this.#asked = tracks !== undefined;
    if (!sameDecoding(before.video, tracks?.video)) this.#setVideo(tracks?.video);
    if (!sameDecoding(before.audio, tracks?.audio)) this.#setAudio(tracks?.audio);
  }

  #setVideo(track) {
    this.#video?.close();
    this.#video = undefined;
    this.#refused.video = undefined;
    if (this.#state === "codec") this.#state = undefined;
    const { width, height } = track ?? {};
    postMessage({ kind: "video", soundOnly: this.tracks !== undefined && !track, width, height });
    if (!track) return;
    this.#video = new Video(track, {
      decoded: () => this.#decoded(performance.now()),
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
      format: (format) => postMessage({ kind: "audio", ...format }),
      unsupported: (codec) => this.#cannot("audio", codec),
    });
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
    this.#measures.started("mediaMs", object.arrivedMs - this.#startedAt);
    this.#lastArrivalAt = object.arrivedMs;
    this.#firstArrivalAt ??= object.arrivedMs;
    this.#playout.arrived(kind, media.timestampUs / 1000, object.arrivedMs, object.live);
    // Playing begins when the past is here, which the first live object says, or too late.
    if (object.live) this.#begin(object.arrivedMs);
  }

  #object(kind, object) {
    const track = kind === "video" ? this.#video : this.#audio;
    if (object.media?.timestampUs === undefined || this.#refused[kind]) return;
    track?.push(object, object.media);
    track?.decode(this.#playout.positionMs(performance.now()));
  }

  #begin(now) {
    if (this.#playout.state === "idle") this.#toLive(now);
  }

  #toLive(now) {
    this.#playout.skipToLive(now);
    this.#jumped(now);
    this.#follow(now);
  }

  /** The position is elsewhere: the sound goes there, and frames before it are not missed. */
  #jumped(now) {
    this.#lastSeekAt = 0;
    const positionMs = this.#playout.positionMs(now);
    this.#video?.from(positionMs);
    this.#audio?.from(positionMs);
  }

  #tick(now) {
    if (this.#firstArrivalAt !== undefined && now - this.#firstArrivalAt > JOIN_MS) {
      this.#begin(now);
    }
    if (this.#playout.tick(now) === "skip") this.#jumped(now);
    this.#measures.standing(this.#playout.state === "stalled", now);
    this.#follow(now);
    this.#decode(now);
    if (now - this.#lastFrameAt > HIDDEN_MS) this.#draw(now);
    this.#watch(now);
  }

  /** Sound comes out now, so much later than it is played, or none does. */
  #setOutput(output, now) {
    if (output.running !== this.#output.running) this.#lastSeekAt = 0;
    this.#output = output;
    this.#playout.hear(output.running);
    this.#playout.lead("audio", output.running ? output.latencyMs : 0, now);
  }

  /** Media time that is heard; undefined while nothing is, or something that has no picture. */
  #heardMs(now) {
    const at = this.#output.running ? this.#audio?.positionMs() : undefined;
    if (at === undefined || this.#playout.state !== "playing") return undefined;
    const heardMs = at - this.#output.latencyMs;
    return this.#playout.follows(heardMs, now) ? heardMs : undefined;
  }

  /** Keeps sound and clock together: the clock follows the sound, unless they are far apart. */
  #follow(now) {
    const audio = this.#audio;
    if (!audio) return;
    const playing = this.#playout.state === "playing";
    audio.steer(playing && !this.#paused, this.#playout.rate);
    if (!playing || this.#paused || !this.#output.running) return;
    const heardMs = this.#heardMs(now);
    if (heardMs !== undefined) return this.#playout.heard(heardMs, now);
    const wanted = this.#playout.positionMs(now) + this.#output.latencyMs;
    if (now - this.#lastSeekAt < SEEK_MS || !audio.holds(wanted)) return;
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

  #decode(now) {
    const positionMs = this.#playout.positionMs(now);
    this.#video?.decode(positionMs);
    this.#audio?.decode(positionMs);
  }

  #decoded(now) {
    if (this.#state !== "live") this.#draw(now);
    this.#video?.decode(this.#playout.positionMs(now));
  }

  #draw(now) {
    const due = this.#video?.due(this.#playout.positionMs(now));
    if (!due) return;
    const { frame, ...times } = due;
    this.#fresh = true;
    this.#measures.size = { width: frame.displayWidth, height: frame.displayHeight };
    if (this.#paused || this.#unshown.length >= UNSHOWN_MAX) {
      if (!this.#paused) this.#measures.undrawn += 1;
      frame.close();
      return;
    }
    this.#unshown.push({ ...times, mediaMs: frame.timestamp / 1000 });
    postMessage({ kind: "picture", frame }, [frame]);
    this.#watch(now);
  }

  /** The page has drawn the oldest picture that it was given. */
  #shown(shownMs) {
    const picture = this.#unshown.shift();
    if (!picture) return;
    if (this.#measures.firstPictureMs === undefined) {
      this.#measures.started("decodedMs", picture.decodedMs - this.#startedAt);
      this.#measures.firstPictureMs = shownMs - this.#startedAt;
      this.#news = true;
    }
    this.#measures.together(picture.mediaMs, this.#heardMs(shownMs));
    const { clock } = this.#reports;
    this.#latency.shown({ ...picture, shownMs }, clock.relayMs(shownMs), picture.mediaMs,
      clock.oneWayMs ?? this.#connection.facts().rttMs / 2);
  }

  #become(state, detail) {
    if (state === this.#state && detail === undefined) return;
    this.#state = state;
    this.#waited ||= state === "waiting";
    postMessage({ kind: "state", state, detail });
  }

  #report(now) {
    const { clock } = this.#reports;
    const clockErrorMs = clock.errorMs(now);
    const stats = {
      ...this.#measures.take(now, this.#playout, this.#video, this.#audio),
      ...this.#latency.stages(),
      clockErrorMs,
      videoCodec: this.tracks?.video?.codec,
      audioCodec: this.tracks?.audio?.codec,
      sharedMemory: this.#audio?.shared,
      ...this.#connection.facts(),
    };
    this.#stats = stats;
    postMessage({ kind: "stats", stats });
    if (stats.stalls !== this.#stallsTold) this.#news = true;
    if (!this.#reports.due(now, this.#news)) return;
    this.#news = false;
    this.#stallsTold = stats.stalls;
    const [stream, state, latency] = [this.#stream, this.#state, this.#latency.take()];
    const before = this.#before;
    this.#reports.send(now, compose({ stream, state, latency, stats, clockErrorMs, before }));
  }
}

// What to play is the thread's name: a message would come after all that waits here already.
const player = new Player(JSON.parse(self.name));
self.onmessage = ({ data }) => player.command(data);
// The page that waits for this thread goes on.
postMessage({ kind: "running" });
