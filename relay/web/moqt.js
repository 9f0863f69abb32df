// What a subscriber needs of MoQT drafts 18 to 22: integers, control messages, object streams.
// Nothing here knows WebTransport or media; numbers above 2^53 lose their lowest bits.

/** What is spoken, newest first. */
export const PROTOCOLS = ["moqt-22", "moqt-21", "moqt-20", "moqt-19", "moqt-18"];

const draftOf = (protocol) => Number(protocol.slice("moqt-".length));

/** Whether a subscription asks for the past by itself; before draft 20 a FETCH does. */
export const hasFill = (protocol) => draftOf(protocol) >= 20;

/** Longest payload that is read, in bytes: a key frame of the sharpest stream is a tenth of it. */
export const PAYLOAD_MAX = 16 << 20;
/** Longest block of properties, in bytes: a decoder's configuration and some numbers. */
export const PROPERTIES_MAX = 64 << 10;

const MESSAGE = {
  subscribe: 0x03, subscribeOk: 0x04, requestError: 0x05, requestOk: 0x07, publishDone: 0x0b,
  trackStatus: 0x0d, goaway: 0x10, fetch: 0x16, fetchOk: 0x18, publish: 0x1d, setup: 0x2f00,
};
const PARAM = { objectTimeout: 0x02, rendezvousTimeout: 0x04, subgroupTimeout: 0x06, expires: 0x08,
  largest: 0x09, forward: 0x10, subscriberPriority: 0x20, filter: 0x21, groupOrder: 0x22,
  fill: 0x23 };
/** An object datagram that is object 0 of its group, of the track's priority. */
const DATAGRAM_FIRST_OF_GROUP = 0x0c;
const FETCH_STREAM = 0x05;
const PADDING_STREAM = 0x132b3e28;
/** Location filters, with their length where the draft has one: what comes next. */
const nextObject = (draft) => draft >= 22 ? [5] : draft >= 20 ? [2, 0, 0] : [1, 2];
/** The newest group from its beginning, as FILL_PARAMETERS: one of them, a filter. */
const CURRENT_GROUP_FILL = [1, PARAM.filter, 1, 1];
const JOIN_RELATIVE = 2;
const TIMESCALE = 0x08;

/** A peer that breaks the protocol. */
export class ProtocolError extends Error {}

/** Appends integers and bytes. */
export class Writer {
  #bytes = [];

  u8(value) {
    this.#bytes.push(value);
    return this;
  }

  /** The leading one bits of the first byte say how many bytes follow it. */
  vi64(value) {
    let extra = 0;
    while (extra < 8 && value >= 2 ** (7 * (extra + 1))) extra += 1;
    const prefix = 0xff & ~(0xff >> extra);
    const head = extra >= 7 ? prefix : prefix | Math.floor(value / 2 ** (8 * extra));
    this.#bytes.push(head);
    for (let i = extra - 1; i >= 0; i -= 1) {
      this.#bytes.push(Math.floor(value / 2 ** (8 * i)) % 256);
    }
    return this;
  }

  bytes(bytes) {
    for (const byte of bytes) this.#bytes.push(byte);
    return this;
  }

  prefixed(bytes) {
    return this.vi64(bytes.length).bytes(bytes);
  }

  text(text) {
    return this.prefixed(new TextEncoder().encode(text));
  }

  finish() {
    return Uint8Array.from(this.#bytes);
  }
}

/** Bytes that an integer takes, from its first. */
export function vi64Length(first) {
  return first === 0xff ? 9 : Math.clz32(~(first << 24)) + 1;
}

function vi64At(bytes, at, length) {
  let value = length >= 8 ? 0 : bytes[at] & (0xff >> length);
  for (let i = 1; i < length; i += 1) value = value * 256 + bytes[at + i];
  return value;
}

/** Reads from bytes that are all there. */
export class Reader {
  #bytes;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  get left() {
    return this.#bytes.length - this.#at;
  }

  u8() {
    return this.bytes(1)[0];
  }

  vi64() {
    if (this.left < 1) throw new ProtocolError("a message is cut short");
    const length = vi64Length(this.#bytes[this.#at]);
    if (this.left < length) throw new ProtocolError("a message is cut short");
    const value = vi64At(this.#bytes, this.#at, length);
    this.#at += length;
    return value;
  }

  bytes(length) {
    if (length > this.left) throw new ProtocolError("a message is cut short");
    const bytes = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return bytes;
  }

  text() {
    return new TextDecoder().decode(this.bytes(this.vi64()));
  }
}

/** Key-value pairs until the end: even types carry an integer, odd ones bytes. */
export function pairs(bytes) {
  const reader = new Reader(bytes);
  const found = [];
  let type = 0;
  while (reader.left > 0) {
    type += reader.vi64();
    found.push([type, type % 2 === 0 ? reader.vi64() : reader.bytes(reader.vi64())]);
  }
  return found;
}

function message(type, body) {
  const bytes = body.finish();
  return new Writer().vi64(type).u8(bytes.length >> 8).u8(bytes.length & 0xff).bytes(bytes)
    .finish();
}

export function setup(implementation) {
  return message(MESSAGE.setup, new Writer().vi64(0x07).text(implementation));
}

function fullTrackName(body, namespace, track) {
  body.vi64(namespace.length);
  for (const field of namespace) body.text(field);
  return body.text(track);
}

/** Asks for the newest object of a track, without subscribing. */
export function trackStatus(requestId, namespace, track) {
  const body = new Writer().vi64(requestId);
  return message(MESSAGE.trackStatus, fullTrackName(body, namespace, track).vi64(0));
}

/** Offers a track of ours, whose objects name it by `alias`. */
export function publish(requestId, namespace, track, alias) {
  const body = fullTrackName(new Writer().vi64(requestId), namespace, track);
  return message(MESSAGE.publish, body.vi64(alias).vi64(1).vi64(PARAM.forward).u8(1));
}

/** The only object of a group of ours, as a datagram. */
export function datagram(alias, group, payload) {
  return new Writer().vi64(DATAGRAM_FIRST_OF_GROUP).vi64(alias).vi64(group).bytes(payload).finish();
}

/**
 * What comes from now on; without a publisher the relay waits for one for `waitMs`. Where the
 * draft can say so it asks for the newest group from its beginning, too: see `hasFill`.
 */
export function subscribe(protocol, requestId, namespace, track, waitMs) {
  const fills = hasFill(protocol);
  const body = fullTrackName(new Writer().vi64(requestId), namespace, track);
  body.vi64(2 + Number(waitMs > 0) + Number(fills));
  let last = 0;
  if (waitMs > 0) {
    body.vi64(PARAM.rendezvousTimeout).vi64(waitMs);
    last = PARAM.rendezvousTimeout;
  }
  body.vi64(PARAM.forward - last).u8(1);
  body.vi64(PARAM.filter - PARAM.forward).bytes(nextObject(draftOf(protocol)));
  if (fills) body.vi64(PARAM.fill - PARAM.filter).prefixed(CURRENT_GROUP_FILL);
  return message(MESSAGE.subscribe, body);
}

/** The newest group from its beginning to where the subscription begins. */
export function joiningFetch(requestId, subscribeId) {
  const body = new Writer().vi64(requestId).vi64(JOIN_RELATIVE).vi64(subscribeId).vi64(0).vi64(0);
  return message(MESSAGE.fetch, body);
}

function parameters(reader) {
  const found = {};
  let type = 0;
  for (let count = reader.vi64(); count > 0; count -= 1) {
    type += reader.vi64();
    switch (type) {
      case PARAM.largest:
        found.largest = { group: reader.vi64(), object: reader.vi64() };
        break;
      case PARAM.forward: case PARAM.subscriberPriority: case PARAM.groupOrder:
        reader.u8();
        break;
      case PARAM.filter:
        reader.bytes(reader.vi64());
        break;
      case PARAM.objectTimeout: case PARAM.subgroupTimeout: case PARAM.expires:
        reader.vi64();
        break;
      default: throw new ProtocolError(`unknown parameter ${type}`);
    }
  }
  return found;
}

/** Reads the body of a message from the relay. */
export function decode(type, body) {
  const reader = new Reader(body);
  switch (type) {
    case MESSAGE.subscribeOk: {
      const alias = reader.vi64();
      const params = parameters(reader);
      const properties = new Map(pairs(reader.bytes(reader.left)));
      return { kind: "subscribeOk", alias, ...params, timescale: properties.get(TIMESCALE) };
    }
    case MESSAGE.requestError:
      return { kind: "requestError", code: reader.vi64(), retryMs: reader.vi64() - 1,
        reason: reader.text() };
    case MESSAGE.publishDone:
      return { kind: "publishDone", status: reader.vi64(), streams: reader.vi64(),
        reason: reader.text() };
    case MESSAGE.fetchOk: return { kind: "fetchOk" };
    case MESSAGE.requestOk: return { kind: "requestOk", ...parameters(reader) };
    case MESSAGE.goaway: return { kind: "goaway", uri: reader.text(), timeoutMs: reader.vi64() };
    case MESSAGE.setup: return { kind: "setup" };
    default: throw new ProtocolError(`unknown message ${type}`);
  }
}

/** Reads from a stream as its bytes come. */
export class ByteStream {
  #reader;
  #chunk = new Uint8Array(0);
  #at = 0;

  constructor(readable) {
    this.#reader = readable.getReader();
  }

  /** Whether the stream ends here. */
  async ended() {
    while (this.#at === this.#chunk.length) {
      const { value, done } = await this.#reader.read();
      if (done) return true;
      this.#chunk = value;
      this.#at = 0;
    }
    return false;
  }

  async u8() {
    if (await this.ended()) throw new ProtocolError("a stream is cut short");
    return this.#chunk[this.#at++];
  }

  async vi64() {
    const first = await this.u8();
    const length = vi64Length(first);
    const bytes = [first];
    while (bytes.length < length) bytes.push(await this.u8());
    return vi64At(bytes, 0, length);
  }

  /** A copy of the next bytes. */
  async bytes(length, limit) {
    if (length > limit) throw new ProtocolError(`${length} bytes are more than ${limit}`);
    const bytes = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      if (await this.ended()) throw new ProtocolError("a stream is cut short");
      const part = this.#chunk.subarray(this.#at, this.#at + length - filled);
      bytes.set(part, filled);
      filled += part.length;
      this.#at += part.length;
    }
    return bytes;
  }

  async message() {
    const type = await this.vi64();
    return decode(type, await this.body());
  }

  /** What follows the type of a message. */
  async body() {
    const length = (await this.u8()) * 256 + (await this.u8());
    return this.bytes(length, 0xffff);
  }

  /** Nobody wants the rest. */
  cancel() {
    this.#reader.cancel().catch(() => {});
  }
}

/** What kind of stream begins with this type. */
export function streamKind(type) {
  if (type < 0x80 && (type & 0x10) !== 0 && (type & 0x06) !== 0x06) return "subgroup";
  if (type === FETCH_STREAM) return "fetch";
  if (type === MESSAGE.setup) return "control";
  return type === PADDING_STREAM ? "padding" : "unknown";
}

/** The header of a subgroup stream, after its type. */
export async function subgroupHeader(stream, type) {
  const header = { type, alias: await stream.vi64(), group: await stream.vi64() };
  if ((type & 0x06) === 0x04) await stream.vi64();
  if ((type & 0x20) === 0) await stream.u8();
  return header;
}

/** The objects of a subgroup stream: `{group, object, properties, payload}`. */
export async function* subgroupObjects(stream, header) {
  let object = -1;
  while (!(await stream.ended())) {
    object += (await stream.vi64()) + 1;
    const properties = (header.type & 0x01) !== 0
      ? await stream.bytes(await stream.vi64(), PROPERTIES_MAX) : new Uint8Array(0);
    const length = await stream.vi64();
    // An empty object has a status: the group or the track ends, or it is really empty.
    if (length === 0) await stream.vi64();
    const payload = await stream.bytes(length, PAYLOAD_MAX);
    if (length > 0) yield { group: header.group, object, properties, payload };
  }
}

/** The objects of a FETCH stream in ascending order, after its header. */
export async function* fetchObjects(stream) {
  let group = 0;
  let object = -1;
  while (!(await stream.ended())) {
    const flags = await stream.vi64();
    if (flags === 0x8c || flags === 0x10c || flags === 0x20c) {
      // The end of a range that is not there.
      group = await stream.vi64();
      object = await stream.vi64();
      continue;
    }
    if (flags > 0x7f) throw new ProtocolError(`unknown flags ${flags} in a FETCH stream`);
    const first = object === -1;
    const delta = (flags & 0x08) !== 0 ? await stream.vi64() : undefined;
    if (delta !== undefined) group = first ? delta : group + delta + 1;
    if ((flags & 0x43) === 0x03) await stream.vi64();
    if ((flags & 0x04) !== 0) {
      const value = await stream.vi64();
      object = delta === undefined ? object + value : value;
    } else {
      object += 1;
    }
    if ((flags & 0x10) !== 0) await stream.u8();
    const properties = (flags & 0x20) !== 0
      ? await stream.bytes(await stream.vi64(), PROPERTIES_MAX) : new Uint8Array(0);
    const payload = await stream.bytes(await stream.vi64(), PAYLOAD_MAX);
    yield { group, object, properties, payload };
  }
}
