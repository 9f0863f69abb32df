// One MoQT session over WebTransport: connects, says hello, subscribes, reads what comes.
import * as moqt from "./moqt.js";
import { Sequencer } from "./sequencer.js";

/** How long a relay may take to answer: a handshake with a lost packet or two. */
const CONNECT_LIMIT_MS = 6000;
/** Objects of an alias that is not known yet are kept until SUBSCRIBE_OK comes. */
const ALIAS_PATIENCE_MS = 2000;

/** A relay's refusal of a request. */
export class Refused extends Error {
  constructor(code, reason) {
    super(reason);
    this.code = code;
  }
}

export const REFUSAL = { unauthorized: 1, timeout: 2, expired: 5, doesNotExist: 0x10 };

/** Its events go to `on.lost(reason)`, `on.bytes(count)` and `on.goaway(uri, timeoutMs)`. */
export class Session {
  #transport;
  #on;
  #nextId = 0;
  #byAlias = new Map();
  #byFetch = new Map();
  #aliasWaiters = [];
  #closed = false;
  #measuring = false;
  rttMs;

  /** `hash` is the certificate's SHA-256 in bytes, or undefined for one that the browser trusts. */
  static async connect(url, hash, on) {
    const options = { protocols: moqt.PROTOCOLS, congestionControl: "low-latency" };
    if (hash) options.serverCertificateHashes = [{ algorithm: "sha-256", value: hash }];
    const transport = new WebTransport(url, options);
    // A failure is told by `ready` too; unhandled, this one would be an error in the console.
    transport.closed.catch(() => {});
    let timer;
    const late = new Promise((_, reject) => {
      const fail = () => reject(new Error("the relay does not answer"));
      timer = setTimeout(fail, CONNECT_LIMIT_MS);
    });
    try {
      await Promise.race([transport.ready, late]);
    } catch (error) {
      transport.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
    const session = new Session(transport, on);
    session.#hello();
    return session;
  }

  constructor(transport, on) {
    this.#transport = transport;
    this.#on = on;
  }

  get protocol() {
    return this.#transport.protocol || moqt.PROTOCOLS[0];
  }

  /** Asks for the round trip time, where the browser tells; `rttMs` has it some time later. */
  measure() {
    if (this.#measuring) return;
    this.#measuring = true;
    const done = (stats) => {
      this.#measuring = false;
      this.rttMs = stats?.smoothedRtt;
    };
    Promise.resolve(this.#transport.getStats?.()).then(done, () => {});
  }

  /** Says hello. Streams do not wait for each other, and requests not for this. */
  #hello() {
    const control = this.#transport.createUnidirectionalStream().then((stream) => {
      // The writer is kept: a control stream that ends would end the session.
      this.control = stream.getWriter();
      return this.control.write(moqt.setup("weir-player"));
    });
    control.catch((error) => this.#lost(error.message));
    this.#accept();
    const gone = (info) => this.#lost(info?.reason || "the relay closed the connection");
    this.#transport.closed.then(gone, (error) => this.#lost(error.message));
  }

  /**
   * Subscribes and joins the newest group. `handlers.object(object, live, timescale)` gets objects
   * in order, `handlers.done(reason)` the end. Where `wanted` is given, a promise, objects wait in
   * the network until it is kept, and with it false the subscription ends. Fails with [`Refused`].
   */
  async subscribe(namespace, track, { whole, waitMs = 0, wanted }, handlers) {
    const id = this.#takeId();
    const asked = moqt.subscribe(this.protocol, id, namespace, track, waitMs);
    const request = await this.#request(asked);
    const fills = moqt.hasFill(this.protocol);
    const fetchId = fills ? id : this.#takeId();
    let timescale;
    const emit = (object) => handlers.object(object, timescale);
    const sequencer = new Sequencer(emit, whole);
    const subscription = { sequencer, wanted, arrived: handlers.arrived };
    this.#byFetch.set(fetchId, subscription);
    const fetched = fills ? undefined
      : this.#request(moqt.joiningFetch(fetchId, id)).catch(() => undefined);
    wanted?.then((kept) => kept || this.#unsubscribe(request, fetched));
    const answer = await request.message();
    if (answer.kind === "requestError") throw new Refused(answer.code, answer.reason);
    if (answer.kind !== "subscribeOk") throw new Error(`SUBSCRIBE answered by ${answer.kind}`);
    timescale = answer.timescale;
    subscription.timescale = timescale;
    subscription.sequencer.start(answer.largest);
    this.#byAlias.set(answer.alias, subscription);
    for (const wake of this.#aliasWaiters.splice(0)) wake();
    if (!fills) this.#followFetch(await fetched, subscription);
    this.#follow(request, handlers);
  }

  /** The newest object of a track, `{group, object}`. Fails with [`Refused`]. */
  async status(namespace, track) {
    const request = await this.#request(moqt.trackStatus(this.#takeId(), namespace, track));
    const answer = await request.message();
    request.writer.close().catch(() => {});
    if (answer.kind === "requestError") throw new Refused(answer.code, answer.reason);
    return answer.largest;
  }

  /**
   * Publishes a track of datagrams: gives a function that sends a payload as the next group.
   * Fails with [`Refused`].
   */
  async publish(namespace, track) {
    const id = this.#takeId();
    // Ids are not used twice, so they serve as aliases, too.
    const request = await this.#request(moqt.publish(id, namespace, track, id));
    const answer = await request.message();
    if (answer.kind === "requestError") throw new Refused(answer.code, answer.reason);
    const { datagrams } = this.#transport;
    const writer = (datagrams.createWritable?.() ?? datagrams.writable).getWriter();
    let group = 0;
    return (payload) => {
      // A datagram that is lost here or on the way is what they are for.
      writer.write(moqt.datagram(id, group, payload)).catch(() => {});
      group += 1;
    };
  }

  async #unsubscribe(request, fetched) {
    for (const stream of [request, await fetched]) {
      stream?.writer.abort().catch(() => {});
      stream?.cancel();
    }
  }

  async #follow(request, handlers) {
    try {
      for (;;) {
        const message = await request.message();
        if (message.kind === "publishDone") return handlers.done(message.reason);
      }
    } catch {
      if (!this.#closed) handlers.done("the relay ended the subscription");
    }
  }

  async #followFetch(stream, subscription) {
    try {
      const answer = await stream.message();
      // Refused: there is no past, or it is out of reach; the next group begins the track.
      if (answer.kind === "requestError") subscription.sequencer.endPast();
    } catch {
      subscription.sequencer.endPast();
    }
  }

  async #request(bytes) {
    const stream = await this.#transport.createBidirectionalStream();
    const writer = stream.writable.getWriter();
    // A failure to write is one to read, too.
    writer.write(bytes).catch(() => {});
    const reader = new moqt.ByteStream(stream.readable);
    // Dropping the writer would cancel the request.
    reader.writer = writer;
    return reader;
  }

  #takeId() {
    const id = this.#nextId;
    this.#nextId += 2;
    return id;
  }

  async #accept() {
    const streams = this.#transport.incomingUnidirectionalStreams.getReader();
    try {
      for (;;) {
        const { value, done } = await streams.read();
        if (done) return;
        this.#readStream(new moqt.ByteStream(value)).catch((error) => this.#broken(error));
      }
    } catch {
      // The session is gone, which `closed` tells with its reason.
    }
  }

  async #readStream(stream) {
    const type = await stream.vi64();
    switch (moqt.streamKind(type)) {
      case "subgroup": return this.#readSubgroup(stream, type);
      case "fetch": return this.#readFetch(stream);
      case "control": return this.#listen(stream);
      case "padding": return stream.cancel();
      default: throw new moqt.ProtocolError(`unknown stream type ${type}`);
    }
  }

  /** The control stream: the body of SETUP, whose type was the stream's, and what follows. */
  async #listen(stream) {
    await stream.body();
    for (;;) {
      const message = await stream.message();
      if (message.kind === "goaway" && !this.#closed) {
        this.#on.goaway?.(message.uri, message.timeoutMs);
      }
    }
  }

  async #readSubgroup(stream, type) {
    const header = await moqt.subgroupHeader(stream, type);
    const subscription = await this.#subscriptionOf(header.alias);
    if (!(await isWanted(subscription))) return stream.cancel();
    subscription.sequencer.openGroup(header.group);
    try {
      for await (const object of moqt.subgroupObjects(stream, header)) {
        this.#arrived(subscription, object, true);
      }
    } finally {
      // Also when the relay has reset the stream, to catch up with the newest group.
      subscription.sequencer.endGroup(header.group);
    }
  }

  async #readFetch(stream) {
    const subscription = this.#byFetch.get(await stream.vi64());
    if (!(await isWanted(subscription))) return stream.cancel();
    try {
      for await (const object of moqt.fetchObjects(stream)) {
        this.#arrived(subscription, object, false);
      }
    } finally {
      subscription.sequencer.endPast();
    }
  }

  #arrived(subscription, object, live) {
    this.#on.bytes(object.payload.length);
    object.arrivedMs = performance.now();
    object.live = live;
    subscription.arrived?.(object, subscription.timescale);
    subscription.sequencer.push(object);
  }

  async #subscriptionOf(alias) {
    if (!this.#byAlias.has(alias)) {
      const known = new Promise((resolve) => this.#aliasWaiters.push(resolve));
      const late = new Promise((resolve) => setTimeout(resolve, ALIAS_PATIENCE_MS));
      await Promise.race([known, late]);
    }
    return this.#byAlias.get(alias);
  }

  #broken(error) {
    // A reset stream is the relay's right; broken rules are not.
    if (error instanceof moqt.ProtocolError && !this.#closed) this.#lost(error.message);
  }

  #lost(reason) {
    if (this.#closed) return;
    this.close();
    this.#on.lost(reason);
  }

  close() {
    this.#closed = true;
    try {
      this.#transport.close();
    } catch {
      // It was closed already.
    }
  }
}

/** Whether there is a subscription whose objects somebody wants; may take until that is known. */
async function isWanted(subscription) {
  return subscription !== undefined && (subscription.wanted === undefined
    || await subscription.wanted);
}
