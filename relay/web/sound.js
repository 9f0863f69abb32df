// The page's side of the sound: an audio context, the audio thread, and the volume.

/** Time in which the volume changes, in seconds: no click is heard. */
const RAMP_S = 0.02;

export class Sound {
  #worker;
  #format;
  #context;
  #module;
  #node;
  #gain;
  #making;
  #muted = true;
  #volume = 1;

  constructor(worker) {
    this.#worker = worker;
  }

  /** The stream's sound is this, or none: `{sampleRate, channels, buffer}`. */
  setFormat(format) {
    const before = this.#format;
    this.#format = format.sampleRate ? format : undefined;
    this.#dropNode();
    // A context that a tap has started is kept: a new one might need another tap.
    if (this.#format && before && before.sampleRate !== format.sampleRate) this.#dropContext();
    if (this.#format && !this.#muted) this.start();
  }

  get available() {
    return this.#format !== undefined;
  }

  /** The last node before the speakers, for those who want to look at the sound. */
  get node() {
    return this.#gain;
  }

  set muted(muted) {
    this.#muted = muted;
    if (!muted) this.start();
    this.#level();
  }

  set volume(volume) {
    this.#volume = volume;
    this.#level();
  }

  #level() {
    if (!this.#gain) return;
    // The square is nearer to what ears take for even steps.
    const level = this.#muted ? 0 : this.#volume ** 2;
    this.#gain.gain.setTargetAtTime(level, this.#context.currentTime, RAMP_S);
  }

  /** Browsers allow it only after a tap or a key. */
  start() {
    if (!this.#format) return;
    this.#making ??= this.#make(this.#format).catch(() => this.#dropNode());
    this.#context?.resume().catch(() => {});
  }

  #open(sampleRate) {
    const context = new AudioContext({ sampleRate, latencyHint: "interactive" });
    this.#context = context;
    context.onstatechange = () => this.tell();
    this.#module = context.audioWorklet.addModule(new URL("audio.worklet.js", import.meta.url));
  }

  async #make(format) {
    const { sampleRate, channels, buffer } = format;
    if (!this.#context) this.#open(sampleRate);
    const context = this.#context;
    await this.#module;
    // A new format may have come while the module was loaded.
    if (this.#context !== context || this.#format !== format) return;
    const node = new AudioWorkletNode(context, "weir-player", {
      numberOfInputs: 0,
      outputChannelCount: [channels],
      processorOptions: { buffer, channels },
    });
    const { port1, port2 } = new MessageChannel();
    if (!buffer) {
      node.port.postMessage({ port: port1 }, [port1]);
      this.#worker.postMessage({ kind: "port", port: port2 }, [port2]);
    }
    this.#gain = context.createGain();
    this.#gain.gain.value = 0;
    node.connect(this.#gain).connect(context.destination);
    this.#node = node;
    this.#level();
    this.tell();
  }

  /** Tells the worker whether sound comes out, and how much later than it is played. */
  tell() {
    const context = this.#context;
    const running = this.#node !== undefined && context?.state === "running";
    const seconds = context ? (context.outputLatency || context.baseLatency || 0) : 0;
    this.#worker.postMessage({ kind: "output", running, latencyMs: seconds * 1000 });
  }

  #dropNode() {
    this.#node?.port.postMessage({ close: true });
    this.#node?.disconnect();
    this.#gain?.disconnect();
    this.#node = this.#gain = this.#making = undefined;
    this.tell();
  }

  #dropContext() {
    this.#context?.close().catch(() => {});
    this.#context = this.#module = undefined;
    this.tell();
  }

  close() {
    this.#format = undefined;
    this.#dropNode();
    this.#dropContext();
  }
}
