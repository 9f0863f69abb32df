// Tests of the player's pure modules. `check(name, run)` collects what is wrong; the end-to-end
// test runs this in a page of the relay and expects nothing.
const failures = [];
let checks = 0;

async function check(name, run) {
  checks += 1;
  try {
    await run();
  } catch (error) {
    failures.push(`${name}: ${error.stack ?? error}`);
  }
}

function equal(found, wanted) {
  const [a, b] = [found, wanted].map((value) => JSON.stringify(value));
  if (a !== b) throw new Error(`found ${a}, wanted ${b}`);
}

function fails(run, type) {
  try {
    run();
  } catch (error) {
    if (error instanceof type) return;
    throw error;
  }
  throw new Error("it did not fail");
}

const bytes = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
const hex = (array) => Array.from(array, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** A stream that gives its bytes in pieces of `size`. */
function pieces(array, size) {
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < array.length; at += size) {
        controller.enqueue(array.slice(at, at + size));
      }
      controller.close();
    },
  });
}

const moqt = await import("/player/moqt.js");
const { movedTo } = await import("/player/connection.js");
const { mediaProperties } = await import("/player/loc.js");
const { parseCatalog } = await import("/player/msf.js");
const { Sequencer } = await import("/player/sequencer.js");
const { Arrivals } = await import("/player/arrivals.js");
const { RelayClock } = await import("/player/clock.js");
const { LATENCY_MAX_MS, Latency, PAIRS_MAX, distribution } = await import("/player/latency.js");
const { Measures } = await import("/player/measures.js");
const { Playout, SKIP_LAG_MS } = await import("/player/playout.js");
const { BYTES_MAX, compose } = await import("/player/reports.js");
const { CAPACITY, Ring, WORD } = await import("/player/ring.js");
const { Audio } = await import("/player/audio.js");
const { Video } = await import("/player/video.js");

await check("integers of the draft's examples", () => {
  const examples = [["25", 37], ["bbbd", 15293], ["ed7f3e7d", 226442877],
    ["faa1a0e403d8", 2893212287960], ["fc8998abc66bc0", 151288809941952]];
  for (const [wire, value] of examples) {
    equal(new moqt.Reader(bytes(wire)).vi64(), value);
    equal(hex(new moqt.Writer().vi64(value).finish()), wire);
  }
  equal(new moqt.Reader(bytes("8025")).vi64(), 37);
  equal(new moqt.Reader(bytes("ffffffffffffffffff")).vi64(), 2 ** 64);
});

await check("integers at every length's edge come back", () => {
  for (let power = 0; power <= 53; power += 1) {
    for (const value of [2 ** power - 1, 2 ** power]) {
      const wire = new moqt.Writer().vi64(value).finish();
      equal(moqt.vi64Length(wire[0]), wire.length);
      equal(new moqt.Reader(wire).vi64(), value);
    }
  }
});

await check("messages have the draft's bytes", () => {
  equal(hex(moqt.setup("r/1")), "af0000050703722f31");
  equal(hex(moqt.joiningFetch(2, 0)), "160005" + "0202000000");
  const subscribe = (protocol) => hex(moqt.subscribe(protocol, 0, ["a", "b"], "v", 0));
  const named = "00" + "02" + "0161" + "0162" + "0176";
  equal(subscribe("moqt-18"), "03000e" + named + "02" + "1001" + "110102");
  equal(subscribe("moqt-19"), subscribe("moqt-18"));
  const fill = "0204" + "01210101";
  equal(subscribe("moqt-20"), "030015" + named + "03" + "1001" + "11020000" + fill);
  equal(subscribe("moqt-21"), subscribe("moqt-20"));
  equal(subscribe("moqt-22"), "030013" + named + "03" + "1001" + "1105" + fill);
});

await check("questions and offers have the draft's bytes", () => {
  equal(hex(moqt.trackStatus(4, ["a"], "v")), "0d0007" + "04" + "01" + "0161" + "0176" + "00");
  equal(hex(moqt.publish(1, ["ns"], "video", 42)),
    "1d000f" + "01" + "01" + "026e73" + "05766964656f" + "2a" + "01" + "1001");
  equal(hex(moqt.datagram(42, 7, bytes("aabb"))), "0c" + "2a" + "07" + "aabb");
});

await check("a relay that sends us elsewhere is understood", () => {
  const uri = hex(new TextEncoder().encode("moqt://b:1"));
  const goaway = moqt.decode(0x10, bytes("0a" + uri + "00"));
  equal([goaway.kind, goaway.uri], ["goaway", "moqt://b:1"]);
  const from = "https://a:4443/live/cam?token=x";
  equal(movedTo("", from), { url: from });
  equal(movedTo("moqt://b:1", from), { url: "https://b:1/live/cam?token=x" });
  equal(movedTo("https://b:1/other?token=y", from), { url: "https://b:1/other?token=y" });
  const hash = "ab".repeat(32);
  equal(movedTo(`moqt://b:1?cert-sha256=${hash}&insecure`, from),
    { url: "https://b:1/live/cam?token=x", hash });
  equal(movedTo("rtmp://b:1", from), undefined);
});

await check("answers are understood", () => {
  equal(moqt.decode(0x07, bytes("01090503")), { kind: "requestOk", largest: { group: 5, object: 3 } });
  equal(moqt.decode(0x04, bytes("0001090503")),
    { kind: "subscribeOk", alias: 0, largest: { group: 5, object: 3 } });
  equal(moqt.decode(0x04, bytes("000008cf4240")).timescale, 1_000_000);
  equal(moqt.decode(0x05, bytes("100000")),
    { kind: "requestError", code: 16, retryMs: -1, reason: "" });
  equal(moqt.decode(0x0b, bytes("020300")).kind, "publishDone");
  fails(() => moqt.decode(0x04, bytes("000133")), moqt.ProtocolError);
  fails(() => moqt.decode(0x05, bytes("1000ff")), moqt.ProtocolError);
});

async function subgroup(wire, size) {
  const stream = new moqt.ByteStream(pieces(bytes(wire), size));
  const header = await moqt.subgroupHeader(stream, await stream.vi64());
  const found = [];
  for await (const object of moqt.subgroupObjects(stream, header)) {
    found.push([object.group, object.object, hex(object.properties), hex(object.payload)]);
  }
  return found;
}

await check("subgroup streams in pieces of every size", async () => {
  for (let size = 1; size < 16; size += 1) {
    equal(await subgroup("790207000410cf42400161000001" + "62", size),
      [[7, 0, "10cf4240", "61"], [7, 1, "", "62"]]);
    equal(await subgroup("7802070001610001" + "62", size), [[7, 0, "", "61"], [7, 1, "", "62"]]);
  }
});

await check("a subgroup stream that is cut is noticed", async () => {
  let error;
  await subgroup("78020700056161", 3).catch((found) => {
    error = found;
  });
  equal(error instanceof moqt.ProtocolError, true);
});

await check("fetch streams inherit what they leave out", async () => {
  // Group 4 object 0; the next object; group 6 object 2; a range that is not there.
  const wire = "3c04000002024001aa" + "200001bb" + "2c01020001cc" + "808c0905";
  for (let size = 1; size < 12; size += 1) {
    const stream = new moqt.ByteStream(pieces(bytes(wire), size));
    const found = [];
    for await (const object of moqt.fetchObjects(stream)) {
      found.push([object.group, object.object, hex(object.payload)]);
    }
    equal(found, [[4, 0, "aa"], [4, 1, "bb"], [6, 2, "cc"]]);
  }
});

await check("stream types", () => {
  equal([0x78, 0x05, 0x2f00, 0x132b3e28, 0x16, 0x99].map(moqt.streamKind),
    ["subgroup", "fetch", "control", "padding", "unknown", "unknown"]);
});

await check("properties of media", () => {
  const block = new moqt.Writer().vi64(0x0d).prefixed([1, 2]).vi64(0x03).vi64(1_000_000).finish();
  const found = mediaProperties(block);
  equal([found.timestampUs, hex(found.config), found.reordered], [1_000_000, "0102", false]);
  const late = new moqt.Writer().vi64(0x10).vi64(90_000).vi64(0x3800 - 0x10).vi64(5).finish();
  equal(mediaProperties(late, 90_000), { timestampUs: 1_000_000, reordered: true });
  equal(mediaProperties(new moqt.Writer().vi64(0x06).vi64(7).finish()).timestampUs, 7);
});

await check("catalogs", () => {
  const read = (value) => parseCatalog(new TextEncoder().encode(JSON.stringify(value)));
  const video = { name: "v", packaging: "loc", role: "video", codec: "avc1.42c01e", initRef: "i" };
  const found = read({ tracks: [video], initDataList: [{ id: "i", type: "inline", data: "AQI=" }] });
  equal(hex(found.video.description), "0102");
  equal(found.audio, undefined);
  equal(read({ deltaUpdate: [] }), undefined);
  equal(read({ isComplete: true, tracks: [] }).complete, true);
  equal(read({ tracks: [{ ...video, packaging: "cmaf" }] }).video, undefined);
});

function sequence(whole) {
  const out = [];
  const sequencer = new Sequencer(({ group, object }) => out.push(`${group}.${object}`), whole);
  const push = (group, object) => sequencer.push({ group, object });
  return { out, sequencer, push };
}

await check("the past goes before the live objects", () => {
  const { out, sequencer, push } = sequence(true);
  sequencer.start({ group: 3, object: 1 });
  sequencer.openGroup(3);
  push(3, 2);
  push(3, 0);
  push(3, 1);
  sequencer.endPast();
  push(3, 3);
  equal(out, ["3.0", "3.1", "3.2", "3.3"]);
});

await check("without its past a group is left out", () => {
  const { out, sequencer, push } = sequence(true);
  sequencer.start({ group: 3, object: 1 });
  sequencer.openGroup(3);
  push(3, 2);
  sequencer.endPast();
  sequencer.openGroup(4);
  push(4, 0);
  equal(out, ["4.0"]);
});

await check("a past that is complete before the subscription is granted is used", () => {
  const { out, sequencer, push } = sequence(true);
  push(3, 0);
  push(3, 1);
  sequencer.endPast();
  sequencer.openGroup(3);
  push(3, 2);
  equal(out, []);
  sequencer.start({ group: 3, object: 1 });
  push(3, 3);
  equal(out, ["3.0", "3.1", "3.2", "3.3"]);
});

await check("a past that never comes does not hold up what is live for ever", () => {
  const { out, sequencer, push } = sequence(true);
  sequencer.start({ group: 3, object: 1 });
  for (let group = 4; group < 14; group += 1) {
    sequencer.openGroup(group);
    push(group, 0);
    sequencer.endGroup(group);
  }
  equal(out.length > 0, true);
});

await check("groups that overtake each other wait, unless too many do", () => {
  const { out, sequencer, push } = sequence(true);
  sequencer.start(undefined);
  sequencer.openGroup(1);
  push(1, 0);
  sequencer.openGroup(2);
  push(2, 0);
  equal(out, ["1.0"]);
  push(1, 1);
  sequencer.endGroup(1);
  equal(out, ["1.0", "1.1", "2.0"]);
  for (let group = 3; group < 12; group += 1) {
    sequencer.openGroup(group);
    push(group, 0);
  }
  equal(out.includes("3.0"), true);
});

await check("a group that was complete at the join does not hold up the next", () => {
  const { out, sequencer, push } = sequence(false);
  sequencer.start({ group: 0, object: 0 });
  push(0, 0);
  sequencer.endPast();
  sequencer.openGroup(1);
  push(1, 0);
  equal(out, ["0.0", "1.0"]);
});

/** Frames of 20 ms on a network that delays frame `n` by `delay(n)`; returns the playout. */
function play(seconds, delay, playout = new Playout()) {
  const events = [];
  for (let n = 0; n < seconds * 50; n += 1) events.push([n * 20 + 100 + delay(n), 5000 + n * 20]);
  events.sort((a, b) => a[0] - b[0]);
  const log = { rates: [], targets: [] };
  let next = 0;
  for (let now = 0; now < seconds * 1000; now += 20) {
    while (next < events.length && events[next][0] <= now) {
      const [atMs, mediaMs] = events[next];
      playout.arrived("video", mediaMs, atMs, true);
      if (playout.state === "idle") playout.skipToLive(atMs);
      next += 1;
    }
    playout.tick(now);
    log.rates.push(playout.rate);
    log.targets.push(playout.targetMs);
  }
  return { playout, ...log };
}

/** The same numbers in every run. */
function random(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

await check("even arrivals need little distance and no correction", () => {
  const { playout, rates } = play(30, () => 0);
  equal([playout.stalls, playout.skips, playout.targetMs <= 60], [0, 0, true]);
  equal(rates.every((rate) => Math.abs(rate - 1) < 0.01), true);
});

await check("jitter is adapted to and then nothing stalls", () => {
  const next = random(7);
  const delays = Array.from({ length: 5000 }, () => next() * 120);
  const { playout, targets } = play(60, (n) => delays[n]);
  const first = play(10, (n) => delays[n]).playout.stalls;
  equal(playout.stalls - first, 0);
  const late = targets.slice(targets.length / 2);
  equal(Math.max(...late) - Math.min(...late) < 60, true);
  equal(playout.targetMs > 90 && playout.targetMs < 250, true);
});

await check("rates stay where nobody hears them", () => {
  const next = random(3);
  const delays = Array.from({ length: 5000 }, (_, n) => (n > 1000 && n < 1040 ? 600 : next() * 40));
  const { rates } = play(60, (n) => delays[n]);
  equal(rates.every((rate) => rate >= 0.97 && rate <= 1.03), true);
});

await check("a calm network is trusted again, slowly", () => {
  const { playout, targets } = play(90, (n) => (n > 500 && n < 540 ? 400 : 0));
  equal(Math.max(...targets) > 300, true);
  equal(playout.targetMs < 100, true);
});

await check("what is too late is skipped, not caught up", () => {
  const { playout } = play(30, () => 0);
  const now = 30_000;
  playout.positionMs(now);
  for (let n = 0; n < 100; n += 1) {
    const media = 5000 + now + n * 20 + SKIP_LAG_MS + 3000;
    playout.arrived("video", media, now + n * 20, true);
  }
  playout.tick(now + 2000);
  equal(playout.skips, 1);
  equal(Math.abs(playout.lagMs(now + 2000) - playout.targetMs) < 1, true);
});

await check("a fixed latency is kept", () => {
  const { playout } = play(30, (n) => n % 7, new Playout(500));
  equal(playout.targetMs, 500);
  equal(Math.abs(playout.lagMs(30_000) - 500) < 20, true);
});

/** When a packet comes that is sent at `atMs`: lost ones come again after some round trips. */
function delivery(next, loss, wayMs) {
  return (atMs) => {
    let sentMs = atMs;
    for (let again = 0; next() < loss; again += 1) {
      sentMs += 2 * wayMs + 15 + next() * (again === 0 ? 35 : 85);
    }
    return sentMs + wayMs + next() * 3;
  };
}

await check("a network that loses packets stops the picture only until that is known", () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const deliver = delivery(random(seed), 0.02, 50);
    const events = [];
    let before = 0;
    for (let n = 0; n < 300 * 30; n += 1) {
      // A group is one stream: nothing overtakes within it.
      const packets = Array.from({ length: n % 60 === 0 ? 20 : 4 }, () => deliver((n * 1000) / 30));
      before = Math.max(...packets, n % 60 === 0 ? 0 : before);
      events.push([before, 1000 + (n * 1000) / 30]);
    }
    events.sort((a, b) => a[0] - b[0]);
    const playout = new Playout();
    let [at, early] = [0, 0];
    for (let now = 0; now < 300_000; now += 20) {
      for (; at < events.length && events[at][0] <= now; at += 1) {
        playout.arrived("video", events[at][1], events[at][0], true);
        if (playout.state === "idle") playout.skipToLive(events[at][0]);
      }
      playout.tick(now);
      if (now === 60_000) early = playout.stalls;
    }
    equal([seed, playout.stalls - early, playout.skips, playout.targetMs < 900], [seed, 0, 0, true]);
  }
});

await check("what is not heard holds nothing up, and what is heard does", () => {
  const late = (heard) => {
    const playout = new Playout();
    playout.hear(heard);
    for (let now = 0; now < 20_000; now += 20) {
      playout.arrived("video", 5000 + now, now + 100, true);
      // The sound lags by more and more, until it is too late for any target.
      playout.arrived("audio", 5000 + now - Math.max(0, now - 10_000) / 4, now + 100, true);
      if (playout.state === "idle") playout.skipToLive(now + 100);
      playout.tick(now + 100);
    }
    return playout.stalls > 0;
  };
  equal([late(false), late(true)], [false, true]);
});

await check("a picture without sound slows down before it stops, and catches up", () => {
  const gap = (n) => (n >= 1000 && n < 1020 ? Math.max(0, 260 - (n - 1000) * 20)
    : (n % 10) * 18);
  const heard = play(40, gap);
  const quiet = new Playout();
  quiet.hear(false);
  const unheard = play(40, gap, quiet);
  equal([heard.playout.stalls > 0, unheard.playout.stalls], [true, 0]);
  equal(Math.min(...unheard.rates) >= 0.5, true);
  equal(Math.abs(quiet.lagMs(40_000) - quiet.targetMs) < 20, true);
});

await check("what one session has told is not told again in the next", () => {
  const stats = { firstPictureMs: 200, rendered: 900, dropped: 5, stalls: 2, stalledMs: 800,
    skips: 1, targetMs: 50, aheadMs: 40, jitterMs: 3, rate: 1, fps: 30 };
  const later = { ...stats, rendered: 950, stalls: 3, stalledMs: 1000 };
  const told = (stats, before) => JSON.parse(new TextDecoder().decode(compose({
    stream: "live/cam", state: "live", latency: [], stats, before })));
  const [first, next] = [told(later), told(later, stats)];
  equal([first.startup_ms, first.rendered, first.stalls, first.skips], [200, 950, 3, 1]);
  equal([next.startup_ms, next.rendered, next.stalls, next.stalled_ms, next.skips],
    [undefined, 50, 1, 200, 0]);
  // A session that was lost before the first picture has told no start.
  equal(told(later, { rendered: 0 }).startup_ms, 200);
});

await check("counts go on over decoders that begin anew", () => {
  const measures = new Measures(0);
  const playout = { lagMs: () => 0, aheadMs: () => 0 };
  const take = (rendered, dropped) => measures.take(1000, playout, { rendered, dropped });
  take(30, 2);
  take(60, 2);
  const { rendered, dropped } = take(10, 1);
  equal([rendered, dropped], [70, 3]);
  equal(measures.take(1000, playout).rendered, 70);
  equal(take(5, 0).rendered, 75);
});

await check("a thread that stood still looks at what has come before it says that nothing did", () => {
  const playout = new Playout();
  play(10, () => 0, playout);
  playout.tick(10_600);
  for (let n = 500; n < 525; n += 1) playout.arrived("video", 5000 + n * 20, 10_600, true);
  playout.tick(10_620);
  equal(playout.stalls, 0);
});

await check("sound that is heard late is fetched early, and the picture waits for it", () => {
  const playout = new Playout();
  play(20, () => 0, playout);
  const before = playout.targetMs;
  playout.lead("audio", 180, 20_000);
  equal(playout.targetMs, before + 180);
  equal(Math.abs(playout.lagMs(20_000) - playout.targetMs) < 1, true);
  playout.lead("audio", 0, 20_000);
  equal(playout.targetMs, before);
});

await check("the relay's clock is taken from the quickest answer", () => {
  const clock = new RelayClock();
  equal([clock.relayMs(0), clock.errorMs(0)], [undefined, undefined]);
  clock.add(1000, 500_050, 1100);
  equal([clock.relayMs(1100), clock.errorMs(1100)], [500_100, 50]);
  clock.add(2000, 501_009, 2010);
  equal(clock.relayMs(2010), 501_014);
  equal(clock.errorMs(2010) <= 5, true);
  clock.add(3000, 9_999_999, 3900);
  equal(clock.relayMs(3900), 502_904);
  // Long after, an old answer is worth less than a new one.
  clock.add(400_000, 900_000, 400_100);
  equal(clock.relayMs(400_100), 900_050);
});

await check("latency is what the clocks say, and no less than the network takes", () => {
  const latency = new Latency();
  const times = { arrivedMs: 100, fedMs: 140, decodedMs: 145, shownMs: 160 };
  latency.shown(times, 10_000, 9930, 4);
  equal(latency.stages(), { totalMs: 70, networkMs: 10, bufferMs: 55, decodeMs: 5 });
  equal(latency.take(), [[70, 1]]);
  equal(latency.take(), []);
  // A clock that promises too much, and one of another origin.
  const late = new Latency();
  late.shown(times, 10_000, 10_500, 4);
  equal(late.stages().totalMs, 64);
  const other = new Latency();
  other.shown(times, 1.8e12, 9000, undefined);
  equal(other.stages().totalMs, undefined);
  equal(other.take(), []);
});

await check("a distribution keeps its counts in few pairs", () => {
  equal(distribution([5, 5, 7.4, -3]), [[0, 1], [5, 2], [7, 1]]);
  const next = random(11);
  const values = Array.from({ length: 2000 }, () => next() * 1e5);
  const pairs = distribution(values);
  equal(pairs.length <= PAIRS_MAX, true);
  equal(pairs.reduce((sum, [, count]) => sum + count, 0), 2000);
  equal(pairs.at(-1)[0] <= LATENCY_MAX_MS, true);
});

await check("reports fit into a datagram and leave out what nobody knows", () => {
  const stats = { aheadMs: 95.4, targetMs: 100, jitterMs: 4.2, rate: 1, fps: 29.97, rendered: 900,
    dropped: 0, stalls: 1, stalledMs: 20.4, skips: 0, firstPictureMs: 240.2 };
  const read = (report) => JSON.parse(new TextDecoder().decode(compose(report)));
  const short = { stream: "live/cam", state: "live", latency: [[84, 3]], stats };
  const found = read(short);
  equal([found.v, found.latency_ms, found.startup_ms, found.stalled_ms, found.fps],
    [1, [[84, 3]], 240, 20, 30]);
  equal("av_offset_ms" in found || "clock_error_ms" in found, false);
  const latency = Array.from({ length: 48 }, (_, n) => [50_000 + n, 100_000]);
  const long = { ...short, stream: "x".repeat(300), latency };
  equal(compose(long).length <= BYTES_MAX, true);
});

await check("a clock that drifts is followed", () => {
  // The publisher's clock is 200 parts in a million slow.
  const { playout } = play(120, (n) => n * 20 * 0.0002);
  equal(playout.stalls, 0);
  equal(Math.abs(playout.lagMs(120_000) - playout.targetMs) < 30, true);
});

await check("a timeline that jumps is noticed", () => {
  const arrivals = new Arrivals();
  for (let n = 0; n < 50; n += 1) arrivals.add(n * 20, 100);
  equal(arrivals.add(1000, -1_000_000), true);
  for (let n = 0; n < 50; n += 1) arrivals.add(1000 + n * 20, 100);
  equal(arrivals.fastest, 100);
});

/** What goes into a decoder of these tests, which looks at what it was made of. */
class EncodedChunk {
  constructor(init) {
    Object.assign(this, init);
  }
}

/** Runs `run(video, decoders)` with decoders that fail at the frames of `bad`. */
async function withDecoders(bad, run) {
  const real = [globalThis.VideoDecoder, globalThis.EncodedVideoChunk];
  const decoders = [];
  globalThis.EncodedVideoChunk = EncodedChunk;
  globalThis.VideoDecoder = class {
    state = "unconfigured";
    decodeQueueSize = 0;
    seen = [];

    constructor(on) {
      this.on = on;
      decoders.push(this);
    }

    configure(settings) {
      this.state = "configured";
      this.settings = settings;
    }

    decode(chunk) {
      this.seen.push(chunk.timestamp);
      if (bad.has(chunk.timestamp)) this.on.error(new Error("damaged"));
      else this.on.output({ timestamp: chunk.timestamp, close() {} });
    }

    close() {
      this.state = "closed";
    }
  };
  try {
    const refused = [];
    const track = { codec: "avc1.42c01e" };
    const on = { decoded() {}, unsupported: (codec) => refused.push(codec) };
    await run(new Video(track, on), decoders, refused);
  } finally {
    [globalThis.VideoDecoder, globalThis.EncodedVideoChunk] = real;
  }
}

/** Plays frames 0 to `count` in groups of ten, and says which are shown. */
function showFrames(video, count) {
  const shown = [];
  for (let n = 0; n < count; n += 1) {
    const media = { timestampUs: n * 1000, reordered: false };
    video.push({ object: n % 10, payload: new Uint8Array(1), arrivedMs: n }, media);
    video.decode(n);
    const due = video.due(n);
    if (due) shown.push(due.frame.timestamp / 1000);
  }
  return shown;
}

await check("after an error decoding goes on at the next key frame", () =>
  withDecoders(new Set([13_000]), (video, decoders, refused) => {
    const shown = showFrames(video, 30);
    equal(shown, [...Array(13).keys(), ...Array.from({ length: 10 }, (_, n) => 20 + n)]);
    equal([video.decodeErrors, video.dropped, decoders.length, refused], [1, 6, 2, []]);
  }));

await check("a decoder that never works gives way to another kind, and is given up then", () =>
  withDecoders(new Set(Array.from({ length: 100 }, (_, n) => n * 1000)),
    (video, decoders, refused) => {
      equal(showFrames(video, 100), []);
      const kinds = decoders.map(({ settings }) => settings.hardwareAcceleration);
      equal(kinds.slice(0, 4), [null, null, "prefer-software", "prefer-software"].map((kind) =>
        kind ?? undefined));
      equal(refused, ["avc1.42c01e"]);
    }));

await check("a whole long group is taken in, and not counted as missed", () =>
  withDecoders(new Set(), (video) => {
    for (let n = 0; n < 600; n += 1) {
      const object = { object: n, payload: new Uint8Array(1), arrivedMs: 0 };
      video.push(object, { timestampUs: n * 1000, reordered: false });
    }
    video.from(599);
    const shown = [];
    for (let n = 0; n < 200; n += 1) {
      video.decode(599);
      const due = video.due(599);
      if (due) shown.push(due.frame.timestamp / 1000);
    }
    equal([shown.at(-1), video.dropped], [599, 0]);
  }));

await check("sound that comes with a group is decoded from the position on, without a hole", () => {
  const real = [globalThis.AudioDecoder, globalThis.EncodedAudioChunk];
  const decoded = [];
  globalThis.EncodedAudioChunk = EncodedChunk;
  globalThis.AudioDecoder = class {
    state = "configured";
    decodeQueueSize = 0;

    configure() {}

    decode({ timestamp }) {
      decoded.push(timestamp / 1000);
      this.decodeQueueSize += 1;
    }

    close() {}
  };
  try {
    const audio = new Audio({ codec: "opus" }, { format() {}, unsupported() {} });
    const position = 1500;
    for (let ms = 0; ms < 2000; ms += 20) {
      audio.push({ payload: new Uint8Array(1) }, { timestampUs: ms * 1000 });
    }
    audio.from(position);
    audio.decode(position);
    const expected = Array.from({ length: 25 }, (_, n) => 1400 + n * 20);
    equal([decoded, audio.dropped], [expected, 0]);
    // What is not decoded by the time that it is due is missed, and what would be too much.
    audio.decode(2040);
    equal([decoded.length, audio.dropped], [25, 2]);
    for (let ms = 2000; ms < 9000; ms += 20) {
      audio.push({ payload: new Uint8Array(1) }, { timestampUs: ms * 1000 });
    }
    equal(audio.dropped, 105);
  } finally {
    [globalThis.AudioDecoder, globalThis.EncodedAudioChunk] = real;
  }
});

await check("the ring fills gaps with silence and wraps around", () => {
  const ring = new Ring(Ring.allocate(1, false), 1);
  const ones = new Float32Array(100).fill(1);
  ring.write(0, [ones]);
  ring.write(150, [ones]);
  equal(ring.load(WORD.written), 250);
  equal([99, 100, 149, 150].map((at) => ring.planes[0][at]), [1, 0, 0, 1]);
  for (let at = 250; at < CAPACITY + 50; at += 100) ring.write(at, [ones]);
  equal(ring.planes[0][20], 1);
  const written = ring.load(WORD.written);
  ring.write(CAPACITY - 1000, [ones]);
  equal(ring.load(WORD.written), written);
});

return { checks, failures };
