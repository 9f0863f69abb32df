// Keeps a stream subscribed: connects, waits for the streamer, comes back after every loss.
import { CATALOG_TRACK, parseCatalog } from "./msf.js";
import { REFUSAL, Refused, Session } from "./session.js";

/** How long the relay is asked to wait for a publisher; then it is asked again. */
const RENDEZVOUS_MS = 30_000;
/** A subscription that takes longer, in ms, waits for its publisher. */
const PROMPT_MS = 400;
/** Pause before another attempt, in ms: doubles from the first to the last. */
const BACKOFF_FIRST_MS = 500;
const BACKOFF_LAST_MS = 4000;
/** Pause before asking again for a stream that is not there at once. */
const ASK_AGAIN_MS = 1000;
/** Tracks that most streams have: they are asked for beside the catalog, which saves a round trip
 *  where it lists them, and costs a refusal where it does not. */
const GUESSES = ["video", "audio"];
/** Pause after a refusal that will hardly change by itself. */
const REFUSED_MS = 15_000;

/** Refusals of people rather than of streams. */
const REASONS = new Map([[REFUSAL.unauthorized, "unauthorized"], [REFUSAL.expired, "expired"]]);

export class Connection {
  #target;
  #on;
  #session;
  #attempts = 0;
  #url;
  #tries = 0;
  #hashFirst;
  #useHash;
  #proven = false;
  #closed = false;
  #guesses = true;
  #wake;
  #current;

  /**
   * `target`: `{url, namespace, certificate, certificateUrl}`; `on`: events. `on.session` gets
   * each new session, and undefined when it is lost.
   */
  constructor(target, on) {
    this.#target = target;
    this.#url = target.url;
    this.#on = on;
    // A relay has one certificate: where its pages are https, browsers trust it by itself.
    const trusted = !target.certificate && target.certificateUrl?.startsWith("https:");
    this.#useHash = this.#hashFirst = !trusted;
  }

  /** Runs until it is closed. */
  async run() {
    this.#on.state("connecting");
    while (!this.#closed) {
      try {
        await this.#once();
      } catch (error) {
        if (this.#closed) return;
        await this.#failed(error);
      }
    }
  }

  async #once() {
    let lost;
    const over = new Promise((_, reject) => {
      lost = (reason) => reject(new Error(reason));
    });
    // It is awaited below, but may fail before that.
    over.catch(() => {});
    const hash = this.#useHash ? await this.#hash() : undefined;
    try {
      const on = { lost, bytes: this.#on.bytes };
      this.#session = await Session.connect(this.#url, hash, on);
    } catch (error) {
      if (!this.#proven) this.#tryOtherwise();
      throw error;
    }
    this.#proven = true;
    this.#attempts = 0;
    this.#on.session(this.#session);
    for (;;) await Promise.race([over, this.#play(this.#session)]);
  }

  /** The next attempt differs in what may have been the reason. */
  #tryOtherwise() {
    const hashes = this.#target.certificate ?? this.#target.certificateUrl;
    this.#tries += 1;
    // A certificate that others vouch for is refused by its hash, and the other way round.
    if (hashes) this.#useHash = (this.#tries % 2 === 0) === this.#hashFirst;
    // Browsers take the first of localhost's addresses only, and the relay may have the other one.
    const url = new URL(this.#target.url);
    if (url.hostname === "localhost" && this.#tries % 4 > 1) url.hostname = "127.0.0.1";
    this.#url = url.href;
  }

  /** From the subscription to the stream's end. */
  async #play(session) {
    const prompt = setTimeout(() => this.#on.state("waiting"), PROMPT_MS);
    let end;
    const ended = new Promise((resolve) => {
      end = resolve;
    });
    const token = { kinds: new Map(), subscribed: new Set() };
    token.known = new Promise((resolve) => {
      token.learn = resolve;
    });
    this.#current = token;
    const handlers = {
      object: (object) => this.#catalog(session, token, object, end).catch(() => {}),
      done: end,
    };
    try {
      const options = { whole: false, waitMs: RENDEZVOUS_MS };
      const { namespace } = this.#target;
      const asked = session.subscribe(namespace, CATALOG_TRACK, options, handlers);
      if (this.#guesses) GUESSES.forEach((name) => this.#guess(session, token, name));
      await asked;
      this.#guesses = true;
    } catch (error) {
      token.learn();
      clearTimeout(prompt);
      return this.#unavailable(error);
    }
    clearTimeout(prompt);
    await ended;
    token.learn();
    this.#current = undefined;
    this.#on.tracks(undefined);
    if (!this.#closed) this.#on.state("gone");
    return undefined;
  }

  async #unavailable(error) {
    if (!(error instanceof Refused)) throw error;
    if (error.code === REFUSAL.timeout || error.code === REFUSAL.doesNotExist) {
      this.#on.state("waiting");
      return this.#pause(error.code === REFUSAL.timeout ? 0 : ASK_AGAIN_MS);
    }
    // Whoever has no right here is not asked three times for it.
    this.#guesses = false;
    const kind = REASONS.get(error.code);
    const shown = new URL(this.#target.url).search !== "";
    this.#on.state("refused", { reason: error.message, kind, shown });
    return this.#pause(REFUSED_MS);
  }

  /** A new catalog: tracks that it adds are subscribed; what they became is the player's. */
  async #catalog(session, token, object, end) {
    const catalog = parseCatalog(object.payload);
    if (!catalog || token !== this.#current) return;
    const kinds = ["video", "audio"].filter((kind) => catalog[kind]);
    if (kinds.length === 0) return void (catalog.complete && end());
    token.kinds = new Map(kinds.map((kind) => [catalog[kind].name, kind]));
    this.#on.tracks(catalog);
    const added = [...token.kinds.keys()].filter((name) => !token.subscribed.has(name));
    token.learn();
    await Promise.all(added.map((name) => this.#track(session, token, name)));
  }

  /** Asks for a track that may be there, and keeps it if the catalog says what it was taken for. */
  async #guess(session, token, name) {
    token.subscribed.add(name);
    const wanted = token.known.then(() => token.kinds.get(name) === name);
    try {
      await this.#track(session, token, name, wanted);
      if (await wanted) return;
    } catch {
      // Not there, or not yet.
    }
    token.subscribed.delete(name);
    const late = token === this.#current && token.kinds.has(name);
    if (late) await this.#track(session, token, name).catch(() => {});
  }

  #track(session, token, name, wanted) {
    token.subscribed.add(name);
    const whole = (token.kinds.get(name) ?? name) === "video";
    const tell = (event, object, timescale) => {
      const kind = token === this.#current ? token.kinds.get(name) : undefined;
      if (kind) this.#on[event](kind, object, timescale);
    };
    const handlers = {
      object: (object, timescale) => tell("object", object, timescale),
      arrived: (object, timescale) => tell("arrived", object, timescale),
      done: () => {},
    };
    return session.subscribe(this.#target.namespace, name, { whole, wanted }, handlers);
  }

  async #failed(error) {
    this.#current = undefined;
    this.#session = undefined;
    this.#on.session(undefined);
    this.#attempts += 1;
    this.#on.tracks(undefined);
    const wait = Math.min(BACKOFF_FIRST_MS * 2 ** (this.#attempts - 1), BACKOFF_LAST_MS);
    if (this.#attempts > 1) this.#on.state("offline", { reason: error.message, waitMs: wait });
    else this.#on.state("connecting");
    await this.#pause(this.#attempts === 1 ? 0 : wait);
  }

  /** The hash that is known; after a failed attempt, the one that the relay has by now. */
  async #hash() {
    const { certificate, certificateUrl } = this.#target;
    const fresh = certificateUrl && (!certificate || this.#attempts > 0);
    const hex = fresh ? await fetchText(certificateUrl) : certificate;
    if (!hex || !/^[0-9a-f]{64}$/i.test(hex.trim())) return undefined;
    return Uint8Array.from(hex.trim().match(/../g), (byte) => parseInt(byte, 16));
  }

  #pause(ms) {
    return new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, ms);
    });
  }

  /** Does not wait any longer for the next attempt. */
  retry() {
    this.#wake?.();
  }

  /** What the connection knows of itself. The browser's part of it comes with the next call. */
  facts() {
    const session = this.#session;
    if (!session) return {};
    session.measure();
    return { transport: `WebTransport, ${session.protocol}`, rttMs: session.rttMs };
  }

  close() {
    this.#closed = true;
    this.#session?.close();
    this.#wake?.();
  }
}

async function fetchText(url) {
  try {
    const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    return answer.ok ? await answer.text() : undefined;
  } catch {
    // Then the certificate has to be one that the browser trusts by itself.
    return undefined;
  }
}
