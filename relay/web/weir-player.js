// The custom element: <weir-player src="https://host:4443/live/cam"></weir-player>.
//
// Attributes: `src`, the stream; `certificate`, the SHA-256 of a self-made certificate in hex, or
// `certificate-url`, where to read it (else where this module came from); `latency`, a fixed
// distance behind live in ms; `sound`, to begin with sound where the browser lets it;
// `reports="off"`, to tell the relay nothing. Event `state` tells `detail.state`.
import { Sound } from "./sound.js";
import { show, showBar } from "./statistics.js";
import { MARKUP, STYLE, icon } from "./view.js";
import { WORDS, missingFeatures } from "./words.js";

/** Controls hide after so long without a pointer or a key, in ms. */
const IDLE_MS = 3000;
/** A player that starts so early in its page, in ms, starts with it. */
const PAGE_MS = 3000;
/** A start within so long, in ms, needs no word about it, and drawing one would make it longer. */
const FRESH_MS = 400;
/** Time for which a notice is shown, in ms. */
const NOTICE_MS = 6000;
const VOLUME_STEP = 5;
/** Time in which a worker says goodbye to the relay, in ms. */
const GOODBYE_MS = 500;
/** Within so much of the target the player is at live, in ms. */
const LIVE_WITHIN_MS = 400;

/** A worker of our own that plays what `start` says, also where this module is another site's. */
function startWorker(start) {
  const url = new URL("decoder.worker.js", import.meta.url);
  const options = { type: "module", name: JSON.stringify(start) };
  if (url.origin === location.origin) return new Worker(url, options);
  const source = `import ${JSON.stringify(url.href)};`;
  const blob = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  return new Worker(blob, options);
}

/** When somebody began to wait for the picture: when the page was opened, if that was just now. */
function begunMs() {
  const now = performance.now();
  return performance.timeOrigin + (now < PAGE_MS ? 0 : now);
}

class WeirPlayer extends HTMLElement {
  static observedAttributes = ["src", "latency"];

  #parts = {};
  #worker;
  #context;
  #sound;
  #state;
  #muted = true;
  #paused = false;
  #idle;
  #stats;
  #leaving;
  #pip;
  #noticed;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    root.innerHTML = MARKUP;
    for (const part of root.querySelectorAll("[id]")) this.#parts[part.id] = part;
    this.#listen();
    setTimeout(() => this.#explain(), FRESH_MS);
  }

  connectedCallback() {
    clearTimeout(this.#leaving);
    if (!this.hasAttribute("tabindex")) this.tabIndex = 0;
    if (!this.hasAttribute("role")) this.setAttribute("role", "region");
    if (!this.hasAttribute("aria-label")) this.setAttribute("aria-label", "Live stream");
    if (!this.#worker) this.#start();
  }

  disconnectedCallback() {
    // Being moved within the page is no end.
    this.#leaving = setTimeout(() => this.#stop());
  }

  attributeChangedCallback(_, before, after) {
    if (!this.isConnected || before === after) return;
    this.#stop();
    this.#start();
  }

  /** The state as a word: `connecting`, `waiting`, `live`, ... */
  get state() {
    return this.#state ?? "unset";
  }

  /** The newest statistics of the worker. */
  get statistics() {
    return this.#stats;
  }

  /** The last audio node before the speakers; undefined while there is no sound. */
  get audioNode() {
    return this.#sound?.node;
  }

  get muted() {
    return this.#muted;
  }

  set muted(muted) {
    this.#muted = muted;
    if (this.#sound) this.#sound.muted = muted;
    this.#label("mute", muted ? "muted" : "loud", muted ? "Turn the sound on" : "Mute");
    this.#parts.unmute.hidden = !muted || !this.#sound?.available || this.#state !== "live";
  }

  get paused() {
    return this.#paused;
  }

  set paused(paused) {
    this.#paused = paused;
    this.#worker?.postMessage({ kind: "pause", paused });
    this.#label("play", paused ? "play" : "pause", paused ? "Play" : "Pause");
    if (!paused) this.goLive();
  }

  /** Skips what is buffered beyond the target. */
  goLive() {
    if (this.#paused) this.paused = false;
    else this.#worker?.postMessage({ kind: "live" });
  }

  #start() {
    const src = this.getAttribute("src");
    if (!src || !URL.canParse(src, location.href)) return this.#become("unset");
    if (!isSecureContext) return this.#become("insecure", { host: location.host });
    const missing = missingFeatures();
    if (missing.length > 0) return this.#become("browser", { missing });
    const early = this.early;
    delete this.early;
    this.#worker = early?.worker ?? this.#begin(new URL(src, location.href));
    this.#worker.onmessage = ({ data }) => this.#told(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#become("broken", { reason: event.message || "its modules could not be loaded" });
    };
    this.#sound = new Sound(this.#worker);
    this.#sound.volume = this.#parts.volume.value / 100;
    this.muted = this.#muted && !this.hasAttribute("sound");
    this.#become("connecting");
    // The page's own player has begun before this module was there.
    for (const data of early?.told ?? []) this.#told(data);
    if (early?.failed) this.#worker.onerror(early.failed);
    return undefined;
  }

  /** Starts a worker for `url`. */
  #begin(url) {
    // The relay that this module came from says what its certificate is.
    const certificateUrl = this.getAttribute("certificate-url")
      ?? new URL("/certificate.sha256", import.meta.url).href;
    return startWorker({
      url: url.href,
      certificate: this.getAttribute("certificate") ?? undefined,
      certificateUrl: new URL(certificateUrl, location.href).href,
      latency: this.getAttribute("latency") ?? undefined,
      reports: this.getAttribute("reports") !== "off",
      startedMs: begunMs(),
    });
  }

  /** Draws what is due; the worker learns that it may send the next. */
  #show(frame) {
    const { displayWidth: width, displayHeight: height } = frame;
    this.#size(width, height);
    this.#context.drawImage(frame, 0, 0, width, height);
    frame.close();
    const atMs = performance.timeOrigin + performance.now();
    this.#worker?.postMessage({ kind: "shown", atMs });
  }

  /** The canvas as large as the pictures. */
  #size(width, height) {
    const { picture } = this.#parts;
    if (picture.width !== width || picture.height !== height) {
      picture.width = width;
      picture.height = height;
    }
    this.#context ??= picture.getContext("2d", { alpha: false });
  }

  #stop() {
    if (!this.isConnected) this.#leavePip();
    this.#sound?.close();
    const worker = this.#worker;
    worker?.postMessage({ kind: "stop" });
    setTimeout(() => worker?.terminate(), GOODBYE_MS);
    this.#worker = this.#sound = this.#stats = undefined;
  }

  #told(data) {
    switch (data.kind) {
      case "picture": return this.#show(data.frame);
      case "video":
        this.#parts.silent.hidden = !data.soundOnly;
        // What is drawn on takes a while to make; what was drawn stays until there is more.
        if (data.width && data.height && !this.#context) this.#size(data.width, data.height);
        return undefined;
      case "state": return this.#become(data.state, data.detail);
      case "audio":
        this.#sound?.setFormat(data);
        this.#parts.mute.disabled = !this.#sound?.available;
        this.muted = this.#muted;
        return undefined;
      case "stats": return this.#update(data.stats);
      case "notice": return this.#notice("The sound cannot be played here");
      default: return undefined;
    }
  }

  #become(state, detail) {
    const changed = state !== this.#state;
    this.#state = state;
    this.dataset.state = state;
    const { title, text, busy, retry } = WORDS[state](detail ?? {});
    const { veil, said } = this.#parts;
    veil.hidden = state === "live";
    this.#parts.title.textContent = title;
    this.#parts.text.textContent = text;
    this.#parts.busy.hidden = !busy;
    this.#parts.retry.hidden = !retry;
    this.#parts.live.classList.toggle("on", state === "live");
    if (changed) said.textContent = [title, text].filter(Boolean).join(". ");
    this.muted = this.#muted;
    this.#wake();
    // The picture is drawn before what belongs to it.
    if (state === "live") requestAnimationFrame(() => setTimeout(() => this.#explain()));
    else if (state !== "connecting") this.#explain();
    if (changed) this.dispatchEvent(new CustomEvent("state", { detail: { state, ...detail } }));
  }

  /** Shows the words and the controls, which a start that is quick enough does without. */
  #explain() {
    this.#parts.stage.classList.remove("fresh");
  }

  /** Something that a person should know and that does not stop the picture. */
  #notice(text) {
    const { notice, said } = this.#parts;
    notice.textContent = said.textContent = text;
    notice.hidden = false;
    clearTimeout(this.#noticed);
    this.#noticed = setTimeout(() => {
      notice.hidden = true;
    }, NOTICE_MS);
  }

  #update(stats) {
    this.#stats = stats;
    this.#sound?.tell();
    const late = this.#paused || stats.lagMs - stats.targetMs > LIVE_WITHIN_MS;
    this.#parts.live.classList.toggle("on", this.#state === "live" && !late);
    this.#parts.level.style.setProperty("--level", Math.min(1, Math.sqrt(stats.level) * 1.4));
    if (this.#parts.stats.hidden) return;
    show(this.#parts.stats.querySelector("dl"), stats);
    showBar(this.#parts.bars, stats);
  }

  #label(id, name, label) {
    const part = this.#parts[id];
    part.innerHTML = icon(name);
    part.setAttribute("aria-label", label);
    part.title = `${label} (${part.getAttribute("aria-keyshortcuts")})`;
  }

  #listen() {
    const { stage, volume } = this.#parts;
    const on = (id, act) => this.#parts[id].addEventListener("click", act);
    on("play", () => this.#togglePause());
    on("mute", () => this.#toggleMute());
    on("unmute", () => this.#toggleMute());
    on("live", () => this.goLive());
    on("info", () => this.#toggleStats());
    on("pip", () => this.#togglePip());
    on("full", () => this.#toggleFull());
    on("retry", () => this.#worker?.postMessage({ kind: "retry" }));
    volume.addEventListener("input", () => this.#setVolume(Number(volume.value)));
    this.addEventListener("keydown", (event) => this.#key(event));
    for (const type of ["pointermove", "pointerdown", "focusin"]) {
      this.addEventListener(type, () => this.#wake());
    }
    stage.addEventListener("dblclick", (event) => {
      if (!event.target.closest("button, input, section")) this.#toggleFull();
    });
    document.addEventListener("fullscreenchange", () => {
      const full = document.fullscreenElement === this;
      this.#label("full", full ? "small" : "full", full ? "Leave full screen" : "Full screen");
    });
    this.#parts.pip.hidden = !document.pictureInPictureEnabled;
    this.#parts.full.hidden = !document.fullscreenEnabled;
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    this.#wake();
    const inside = event.composedPath()[0];
    // Space presses the focused button, and arrows move the focused slider.
    const own = inside instanceof HTMLButtonElement ? " " : "";
    const act = {
      " ": () => this.#togglePause(), k: () => this.#togglePause(),
      m: () => this.#toggleMute(), f: () => this.#toggleFull(), i: () => this.#toggleStats(),
      p: () => this.#togglePip(), l: () => this.goLive(),
      ArrowUp: () => this.#setVolume(Number(this.#parts.volume.value) + VOLUME_STEP),
      ArrowDown: () => this.#setVolume(Number(this.#parts.volume.value) - VOLUME_STEP),
      ArrowRight: () => this.goLive(),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || event.key === own || inside instanceof HTMLInputElement) return;
    event.preventDefault();
    act();
  }

  #togglePause() {
    this.paused = !this.#paused;
  }

  #toggleMute() {
    this.muted = !this.#muted;
  }

  #toggleStats() {
    const { stats, info } = this.#parts;
    stats.hidden = !stats.hidden;
    info.setAttribute("aria-pressed", String(!stats.hidden));
    if (!stats.hidden && this.#stats) this.#update(this.#stats);
  }

  #setVolume(volume) {
    this.#parts.volume.value = volume;
    if (this.#sound) this.#sound.volume = this.#parts.volume.value / 100;
    if (volume > 0 && this.#muted) this.muted = false;
  }

  #toggleFull() {
    const refused = () => {};
    if (document.fullscreenElement === this) document.exitFullscreen().catch(refused);
    else this.requestFullscreen?.().catch(refused);
  }

  async #togglePip() {
    if (this.#pip) return this.#leavePip();
    const video = document.createElement("video");
    this.#pip = video;
    video.muted = true;
    video.addEventListener("leavepictureinpicture", () => this.#leavePip(video));
    try {
      video.srcObject = this.#parts.picture.captureStream();
      await video.play();
      await video.requestPictureInPicture();
      if (this.#pip !== video) return this.#leavePip(video);
      this.#parts.pip.setAttribute("aria-pressed", "true");
    } catch {
      this.#leavePip(video);
      this.#notice("Picture in picture is not possible here");
    }
    return undefined;
  }

  /** The picture is in its page only; another player's stays where it is. */
  #leavePip(video = this.#pip) {
    if (!video) return;
    if (this.#pip === video) this.#pip = undefined;
    this.#parts.pip.setAttribute("aria-pressed", "false");
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    if (document.pictureInPictureElement === video) document.exitPictureInPicture().catch(() => {});
  }

  /** Shows the controls, and hides them again when nobody moves. */
  #wake() {
    const { stage, bar } = this.#parts;
    stage.classList.remove("idle");
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      const used = bar.matches(":hover") || bar.querySelector(":focus-visible");
      if (this.#state === "live" && !used) stage.classList.add("idle");
    }, IDLE_MS);
  }
}

customElements.define("weir-player", WeirPlayer);
