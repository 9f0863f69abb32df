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
/** Attempts to reach the place that a relay sends its viewers to, and the pause between them. */
const MOVES_MAX = 4;
const MOVE_AGAIN_MS = 600;
/** Least time between two moves, in ms: relays that send their viewers to each other. */
const MOVED_MS = 5000;
/** How long the old session is kept for a catalog of the new one, in ms. */
const OVERLAP_MS = 1500;
/** A relay that asks its viewers to leave is left by this part of the time that it gives them, and
 *  so long after what it had has ended, in ms: the last groups may still be on their way. */
const LEAVE_WITHIN = 0.8;
const LAST_MS = 500;
/** A place whose first group is so much older numbers groups otherwise, and is another one. */
const SAME_WITHIN = 8;

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
  /** The certificate of the place that a relay sent us to, if it said so. */
  #hashThere;
  #proven = false;
  #closed = false;
  /** Whether the stream that played has ended, and no other one has begun. */
  #over = false;
  #guesses = true;
  #wake;
  /** The play that the player is told of, and the newest one, which becomes it with its catalog. */
  #current;
  #newest;
  #moving;
  #movedAt = -Infinity;

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
    const hash = this.#hashThere || this.#useHash ? await this.#hash() : undefined;
    try {
      this.#session = await this.#open(this.#url, hash);
    } catch (error) {
      if (!this.#proven) this.#tryOtherwise();
      else [this.#url, this.#hashThere] = [this.#target.url, undefined];
      throw error;
    }
    this.#proven = true;
    this.#attempts = 0;
    // The picture is asked for before anything else.
    let playing = this.#play(this.#session);
    this.#on.session(this.#session);
    for (;;) {
      const session = this.#session;
      await Promise.race([session.over, session.left, playing]);
      playing = this.#play(this.#session);
    }
  }

  /** A session: `over` fails when it is lost, `left` comes when another one has its place. */
  async #open(url, hash) {
    let [lost, leave, session] = [];
    const over = new Promise((_, reject) => {
      lost = (reason) => reject(new Error(reason));
    });
    // It is awaited later, and may fail before that.
    over.catch(() => {});
    const left = new Promise((resolve) => {
      leave = resolve;
    });
    const goaway = (uri, timeoutMs) => {
      session.leaving = true;
      if (timeoutMs > 0) setTimeout(() => this.#letGo(session), timeoutMs * LEAVE_WITHIN);
      if (!this.#current?.catalog) setTimeout(() => this.#letGo(session), LAST_MS);
      this.#moving ??= this.#move(session, uri).finally(() => {
        this.#moving = undefined;
      });
    };
    session = await Session.connect(url, hash, { lost, goaway, bytes: this.#on.bytes });
    return Object.assign(session, { over, left, leave, lost });
  }

  /** Holds up no relay that wants to end; whether there is another one to go to is seen later. */
  async #letGo(session) {
    session.close();
    await this.#moving;
    if (this.#session === session) session.lost("the relay has ended");
  }

  /** Goes where the relay sends us, while what it has still plays. */
  async #move(old, uri) {
    const place = movedTo(uri, this.#url);
    if (!place || performance.now() - this.#movedAt < MOVED_MS) return;
    // Also where to go if the old session is lost before.
    [this.#url, this.#hashThere] = [place.url, place.hash];
    for (let attempt = 0; attempt < MOVES_MAX; attempt += 1) {
      try {
        // Elsewhere the certificate is one that the browser trusts, or the one that we know.
        const known = this.#useHash && (uri === "" || attempt % 2 === 1);
        const hash = place.hash || known ? await this.#hash() : undefined;
        const session = await this.#open(place.url, hash);
        if (this.#closed || this.#session !== old) return void session.close();
        [this.#session, this.#movedAt] = [session, performance.now()];
        this.#on.session(undefined);
        this.#on.session(session);
        setTimeout(() => old.close(), OVERLAP_MS);
        return void old.leave();
      } catch {
        await new Promise((resolve) => setTimeout(resolve, MOVE_AGAIN_MS));
      }
      if (this.#closed || this.#session !== old) return;
    }
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
    const prompt = setTimeout(() => {
      if (token === this.#current) this.#on.state(this.#absent());
    }, PROMPT_MS);
    let end;
    const ended = new Promise((resolve) => {
      end = resolve;
    });
    // Where another play goes on, it goes on behind what was told of that.
    const behind = this.#current?.told;
    const token = { kinds: new Map(), subscribed: new Set(), told: new Map(), behind };
    token.known = new Promise((resolve) => {
      token.learn = resolve;
    });
    this.#newest = token;
    this.#current ??= token;
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
    // What ends here may go on elsewhere.
    if (session.leaving) setTimeout(() => this.#letGo(session), LAST_MS);
    await this.#moving;
    if (token !== this.#newest) return undefined;
    this.#newest = this.#current = undefined;
    this.#on.tracks(undefined);
    this.#over = true;
    if (!this.#closed) this.#on.state("gone");
    return undefined;
  }

  /** What there is to say while there is no stream: who has seen it end is told that. */
  #absent() {
    return this.#over ? "gone" : "waiting";
  }

  async #unavailable(error) {
    if (!(error instanceof Refused)) throw error;
    if (error.code === REFUSAL.timeout || error.code === REFUSAL.doesNotExist) {
      this.#on.state(this.#absent());
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
    if (!catalog || token !== this.#newest) return;
    this.#current = token;
    const kinds = ["video", "audio"].filter((kind) => catalog[kind]);
    if (kinds.length === 0) return void (catalog.complete && end());
    token.kinds = new Map(kinds.map((kind) => [catalog[kind].name, kind]));
    token.catalog = catalog;
    this.#over = false;
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
      if (kind && this.#goesOn(token, name, object, event === "object")) {
        this.#on[event](kind, object, timescale);
      }
    };
    const handlers = {
      object: (object, timescale) => tell("object", object, timescale),
      arrived: (object, timescale) => tell("arrived", object, timescale),
      done: () => {},
    };
    return session.subscribe(this.#target.namespace, name, { whole, wanted }, handlers);
  }

  /** Whether an object was not told before, in this session or the one whose place it took. */
  #goesOn(token, name, { group, object }, telling) {
    let last = token.behind?.get(name);
    if (last && group + SAME_WITHIN < last.group) {
      // Groups are numbered otherwise there: it is not known what both have.
      token.behind = last = undefined;
      this.#on.tracks(undefined);
      this.#on.tracks(token.catalog);
    }
    const repeated = last && (group < last.group
      || (group === last.group && object <= last.object));
    if (telling && !repeated) token.told.set(name, { group, object });
    return !repeated;
  }

  async #failed(error) {
    this.#newest = this.#current = undefined;
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
    if (this.#hashThere) return toBytes(this.#hashThere);
    const { certificate, certificateUrl } = this.#target;
    const fresh = certificateUrl && (!certificate || this.#attempts > 0);
    const hex = fresh ? await fetchText(certificateUrl) : certificate;
    return hex && isHash(hex.trim()) ? toBytes(hex.trim()) : undefined;
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

const isHash = (hex) => /^[0-9a-f]{64}$/i.test(hex);

const toBytes = (hex) => Uint8Array.from(hex.match(/../g), (byte) => parseInt(byte, 16));

/**
 * Where a GOAWAY leads from `url`: `{url, hash}`. An empty one is the same place; a new one has the
 * path and the credentials of the old where it says none.
 */
export function movedTo(uri, url) {
  if (uri === "") return { url };
  const next = uri.replace(/^moqt:/, "https:");
  if (!URL.canParse(next) || !next.startsWith("https:")) return undefined;
  const [to, from] = [new URL(next), new URL(url)];
  const hash = to.searchParams.get("cert-sha256") ?? undefined;
  for (const ours of ["cert-sha256", "insecure"]) to.searchParams.delete(ours);
  if (to.pathname === "/") to.pathname = from.pathname;
  if (to.search === "") to.search = from.search;
  return { url: to.href, hash: hash && isHash(hash) ? hash : undefined };
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
