// The overview: every stream as a card, and what happened last.

import { RELAY_STAGES, sparkline, stacked } from "./chart.js";
import { el, replace, row, say, tile } from "./dom.js";
import { clock, count, duration, media, millis, path, percent, rate, sum, time } from "./format.js";
import { emptyState } from "./setup.js";

/** Seconds of each card's own memory. */
const MEMORY = 120;

const WORDS = {
  publisher_connected: "Publisher connected", publisher_gone: "Publisher gone",
  publisher_returned: "Publisher returned", publisher_took_over: "Publisher took over",
  refused: "Refused", stream_ended: "Stream ended", viewer_joined: "Viewer joined",
  viewer_left: "Viewer left", skipped: "Objects skipped", warning_raised: "Warning",
  warning_cleared: "Warning is over",
};

/** Who did what; a warning's sentence goes without its code. */
function about({ kind, who, detail }) {
  const words = kind === "warning_raised" && detail ? [detail] : [who, detail];
  return words.filter(Boolean).join(" · ");
}

/** The log as a table. */
export function events(list, withStream) {
  if (list.length === 0) return el("p", { class: "dim" }, "Nothing has happened yet.");
  const lines = list.map((event) => row([
    clock(event.at_ms),
    [el("span", { class: `event ${event.kind}` }, WORDS[event.kind] ?? event.kind)],
    ...(withStream ? [event.stream ?? ""] : []),
    [about(event), { class: "wide" }],
    [event.count > 1 ? `× ${count(event.count)}` : "", { class: "number" }],
  ]));
  const head = ["Time", "Event", ...(withStream ? ["Stream"] : []), "Detail", ""];
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Events" },
    el("table", {}, el("caption", { class: "hidden" }, "Events, the newest first"),
      el("thead", {}, row(head, "th")), el("tbody", {}, lines)));
}

/** What is wrong and what to do about it. */
export function warnings(list) {
  return (list ?? []).map((warning) => el("li", { class: warning.level },
    el("b", {}, warning.level === "hint" ? "Hint" : "Warning"), " ", warning.message, " ",
    el("span", {}, warning.remedy)));
}

/** The two bars: where the time goes in the relay, and on the way to the screen. */
export function bars(stream) {
  const { latency_us: latency, qoe } = stream;
  const relay = RELAY_STAGES.map((stage) => ({ ...stage, value: latency[stage.key].p50 ?? 0 }));
  const detail = (stage) => stage.p99 !== undefined && `99 %: ${time(stage.p99)}`;
  const first = stacked("In the relay", relay, latency.relay.p50, detail(latency.relay));
  const screen = latency.player?.p50;
  if (!screen) return [first];
  const inside = Math.min(latency.relay.p50 ?? 0, screen);
  const buffer = Math.min((qoe?.buffer_ms.p50 ?? 0) * 1000, screen - inside);
  const parts = [
    { key: "relay", label: "relay", value: inside, hint: "as above" },
    // Medians of parts do not add up to that of the whole, so this one is an estimate.
    { key: "network", label: "≈ network, decoding", value: screen - inside - buffer,
      hint: "an estimate: the median of the whole less those of the other two" },
    { key: "buffer", label: "player's buffer", value: buffer, hint: "what its player holds" },
  ];
  return [first, stacked("From the relay to the screen", parts, screen, detail(latency.player))];
}

const bitrate = (stream) => sum(stream.tracks.map((track) => track.bitrate_bps));

/** One stream on the overview. It is made once and filled anew, so that it keeps the focus. */
function card(name) {
  const title = el("a", { href: path("/stream", name) }, name);
  const state = el("span", { class: "state" });
  const what = el("p", { class: "dim" });
  const wrong = el("ul", { class: "warnings" });
  const tiles = {
    bitrate: tile("Bitrate"), viewers: tile("Viewers"),
    gop: tile("Key frames", "distance of key frames"),
    jitter: tile("Jitter", "how late frames arrive from the publisher, 99 %"),
    uptime: tile("Since"), stalled: tile("Stalled", "share of the time watched, as reported"),
  };
  const plots = el("div", { class: "bars" });
  const trend = el("div", { class: "trendline" });
  const memory = [];
  const root = el("article", { class: "card stream" },
    el("header", {}, el("h2", {}, title), state),
    what, wrong, el("dl", { class: "tiles" }, Object.values(tiles).map((one) => one.root)),
    trend, plots,
    el("p", { class: "actions" },
      el("a", { class: "button", href: path("/watch", name), "aria-label": `Watch ${name}` },
        "Watch"),
      el("a", { class: "button quiet", href: path("/stream", name),
        "aria-label": `Details of ${name}` }, "Details")));

  function update(stream, now) {
    say(state, stream.state === "live" ? "live" : "publisher gone");
    state.className = `state ${stream.state}`;
    say(what, media(stream.tracks) || "no tracks yet");
    replace(wrong, JSON.stringify(stream.warnings ?? []), () => warnings(stream.warnings));
    const video = stream.tracks.find((track) => track.gop_ms !== undefined);
    tiles.bitrate.set(rate(bitrate(stream)));
    tiles.viewers.set(count(stream.subscribers));
    tiles.gop.set(millis(video?.gop_ms));
    tiles.jitter.set(time(stream.arrival_jitter_us.p99));
    tiles.uptime.set(duration((now - Date.parse(stream.since)) / 1000));
    tiles.stalled.set(percent(stream.qoe?.stalled_ratio));
    memory.push(bitrate(stream));
    if (memory.length > MEMORY) memory.shift();
    trend.replaceChildren(sparkline(memory, "Bitrate", rate));
    plots.replaceChildren(...bars(stream));
  }
  return { root, update };
}

/** The overview; `update` fills it with a snapshot. */
export function overview() {
  const cards = new Map();
  const totals = { streams: tile("Live streams"), viewers: tile("Viewers"), in: tile("In"),
    out: tile("Out"), cpu: tile("CPU"), memory: tile("Memory") };
  const empty = el("div");
  const list = el("div", { class: "streams" });
  const log = el("div");
  const full = el("div", { hidden: true },
    el("h1", { class: "hidden" }, "Streams"),
    el("dl", { class: "tiles totals" }, Object.values(totals).map((one) => one.root)), list);
  const root = el("div", {}, empty, full,
    el("section", { "aria-labelledby": "log" }, el("h2", { id: "log" }, "Events"), log));
  let before;

  function update(snapshot) {
    const { streams, relay, at_ms: now } = snapshot;
    const none = streams.length === 0;
    replace(empty, none ? JSON.stringify(relay.ports) : "full", () =>
      (none ? [emptyState(relay)] : []));
    full.hidden = none;
    for (const [name, old] of cards) {
      if (streams.some((stream) => stream.name === name)) continue;
      old.root.remove();
      cards.delete(name);
    }
    for (const stream of streams) {
      if (!cards.has(stream.name)) {
        const made = card(stream.name);
        cards.set(stream.name, made);
        list.append(made.root);
      }
      cards.get(stream.name).update(stream, now);
    }
    fillTotals(snapshot);
    replace(log, JSON.stringify(snapshot.events), () => [events(snapshot.events, true)]);
  }

  function fillTotals({ streams, relay, at_ms: now }) {
    const out = sum(streams.map((stream) => stream.bytes_out));
    const seconds = before && (now - before.now) / 1000;
    totals.streams.set(count(streams.filter((stream) => stream.state === "live").length));
    totals.viewers.set(count(sum(streams.map((stream) => stream.subscribers))));
    totals.in.set(rate(sum(streams.map(bitrate))));
    totals.out.set(rate(before && (Math.max(0, out - before.out) * 8) / seconds));
    const busy = before && relay.cpu_s !== null ? (relay.cpu_s - before.cpu) / seconds : undefined;
    totals.cpu.set(busy === undefined ? "–" : `${Math.max(0, busy * 100).toFixed(0)} %`);
    const memory = relay.resident_bytes;
    totals.memory.set(memory ? `${Math.round(memory / 1e6)} MB` : "–");
    before = { now, out, cpu: relay.cpu_s };
  }
  return { root, update };
}
