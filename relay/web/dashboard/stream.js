// A stream's page: its latency over time, its viewers, its log, and how to share it.

import { heatmap, trend } from "./chart.js";
import { el, replace, row, say, tile } from "./dom.js";
import { count, duration, fps, media, millis, path, percent, rate, sum, time } from "./format.js";
import { bars, events, warnings } from "./overview.js";
import { push, watch } from "./setup.js";
import { viewers } from "./viewers.js";

const STAGES = [
  ["ingest", "first byte of a frame read → whole"],
  ["queue", "whole → taken up for a viewer"],
  ["send", "taken up → accepted by the viewer's stream"],
  ["relay", "first byte read → accepted: what the relay adds"],
  ["ack", "last byte of a group accepted → acknowledged"],
  ["player", "arrived at the relay → on the viewer's screen, as reported"],
];

/** Columns of a histogram over time: as many as the relay remembers. */
const SLOTS = 72;

function stages(latency) {
  const number = (text) => [text, { class: "number" }];
  const rows = STAGES.map(([key, from]) => {
    const stage = latency[key];
    return row([el("b", {}, key), [from, { class: "wide dim" }], number(count(stage.count ?? 0)),
      ...["p50", "p90", "p99", "max"].map((name) => number(time(stage[name])))]);
  });
  const head = ["Stage", "From → to", "Samples", "50 %", "90 %", "99 %", "Longest"];
  return el("div", { class: "scroll", tabindex: "0", role: "region",
    "aria-label": "Latency by stage" },
  el("table", {}, el("caption", { class: "hidden" }, "Latency by stage, the last minute"),
    el("thead", {}, row(head.map((text, at) => [text, { class: at > 1 ? "number" : "" }]), "th")),
    el("tbody", {}, rows)));
}

function plots(history) {
  const points = history?.points ?? [];
  if (points.length === 0) return [el("p", { class: "dim" }, "The first point comes in seconds.")];
  const line = (label, value, shown) => trend(label, points.map(value), shown);
  const some = (value) => (value > 0 ? value : NaN);
  const bounds = history.bucket_bounds_us;
  return [
    el("div", { class: "trends" },
      line("Bitrate", (point) => point.bitrate_bps, rate),
      line("Frames a second", (point) => point.fps ?? NaN, fps),
      line("Viewers", (point) => point.viewers, count),
      line("Arrival jitter, 99 %", (point) => point.jitter_p99_us ?? NaN, time),
      line("Relay, 50 %", (point) => some(point.relay_us[0]), time),
      line("Relay, 99 %", (point) => some(point.relay_us[1]), time),
      line("Screen, 50 %", (point) => some(point.player_us[0]), time),
      line("Screen, 99 %", (point) => some(point.player_us[1]), time)),
    el("div", { class: "heatmaps" },
      heatmap("In the relay, over time", bounds, points.map((p) => p.relay_buckets), SLOTS),
      heatmap("To the screen, over time", bounds, points.map((p) => p.player_buckets), SLOTS)),
  ];
}

function quality(qoe) {
  if (!qoe) return el("p", { class: "dim" }, "No player has reported yet.");
  const span = (value) => (value.count ? `${millis(value.p50)} / ${millis(value.p99)}` : "–");
  const facts = [
    ["Players that report", count(qoe.viewers_reporting)],
    ["Start-up, 50 % / 99 %", span(qoe.startup_ms)],
    ["Buffer, 50 % / 99 %", span(qoe.buffer_ms)],
    ["Picture to sound, 50 % / 99 %", span(qoe.av_offset_ms)],
    ["Stalls", `${count(qoe.stalls)} (${millis(qoe.stalled_ms)})`],
    ["Stalled", percent(qoe.stalled_ratio)],
    ["Pictures dropped", `${count(qoe.dropped)} of ${count(qoe.dropped + qoe.rendered)}`],
    ["Skips to live", count(qoe.skips)],
  ];
  return el("dl", { class: "tiles" }, facts.map(([label, value]) =>
    el("div", { class: "tile" }, el("dt", {}, label), el("dd", {}, value))));
}

function section(title, id, ...content) {
  return el("section", { "aria-labelledby": id }, el("h2", { id }, title), ...content);
}

/** What the way from the upstream relay takes, in words; none without one that tells it. */
function way(hop) {
  if (hop?.latency_us === undefined) return hop && `${time(hop.rtt_us)} round trip to the upstream`;
  const last = `${time(hop.latency_us)} ± ${time(hop.error_us)} from the upstream`;
  return hop.hops > 1 ? `${last}, ${time(hop.path_us)} over ${hop.hops} hops` : last;
}

/** The page of `name`; `update` fills it with a snapshot. */
export function streamPage(name) {
  const parts = Object.fromEntries(["wrong", "bars", "stages", "plots", "quality", "viewers",
    "events", "share", "push"].map((part) => [part, el(part === "wrong" ? "ul" : "div")]));
  parts.wrong.className = "warnings";
  parts.wrong.setAttribute("role", "status");
  parts.bars.className = "bars wide";
  const state = el("span", { class: "state" });
  const what = el("p", { class: "dim" });
  const tiles = { bitrate: tile("Bitrate"), fps: tile("Frames"), gop: tile("Key frames"),
    viewers: tile("Viewers"), jitter: tile("Jitter", "how late frames arrive, 99 %"),
    skew: tile("A/V skew", "how much later pictures arrive than sound"),
    first: tile("First frame", "from a viewer's request to its first frame, 50 %"),
    uptime: tile("Since") };
  const present = el("div", { hidden: true },
    parts.wrong, el("dl", { class: "tiles" }, Object.values(tiles).map((one) => one.root)),
    section("Where the time goes", "where", parts.bars,
      el("p", { class: "dim" }, "Medians of the last minute. Percentiles of parts do not add up to "
        + "that of the whole: what is marked ≈ is what the others leave of it."), parts.stages),
    section("Over time", "time", parts.plots),
    section("What viewers see", "quality", parts.quality),
    section("Viewers", "viewers", parts.viewers),
    section("Events", "events", parts.events));
  const absent = el("p", { class: "note", hidden: true },
    "This stream is not there. It appears here as soon as somebody pushes it.");
  const root = el("div", {},
    el("p", {}, el("a", { href: "/" }, "← All streams")),
    el("header", { class: "title" }, el("h1", {}, name), state,
      el("a", { class: "button", href: path("/watch", name) }, "Watch")),
    what, absent, present,
    section("Share and push", "share", el("div", { class: "cards" }, parts.share, parts.push)));
  parts.push.className = "stacked";

  function update({ stream, relay, at_ms: now }) {
    absent.hidden = Boolean(stream);
    present.hidden = !stream;
    const ports = JSON.stringify(relay.ports);
    replace(parts.share, ports, () => [watch(relay, name)]);
    replace(parts.push, ports, () => push(relay, name));
    say(state, !stream ? "offline" : stream.state === "live" ? "live" : "publisher gone");
    state.className = `state ${stream?.state ?? "offline"}`;
    if (stream) fill(stream, now);
  }

  function fill(stream, now) {
    const { publisher } = stream;
    const from = [publisher.encoder || publisher.protocol, publisher.addr,
      publisher.reconnects > 0 && `came back ${publisher.reconnects} times`, way(publisher.hop)];
    say(what, [media(stream.tracks), ...from].filter(Boolean).join(" · "));
    const video = stream.tracks.find((track) => track.fps !== undefined);
    tiles.bitrate.set(rate(sum(stream.tracks.map((track) => track.bitrate_bps))));
    tiles.fps.set(fps(video?.fps));
    tiles.gop.set(millis(video?.gop_ms));
    tiles.viewers.set(count(stream.subscribers));
    tiles.jitter.set(time(stream.arrival_jitter_us.p99));
    tiles.skew.set(time(stream.av_skew_us));
    tiles.first.set(time(stream.first_frame_us.p50));
    tiles.uptime.set(duration((now - Date.parse(stream.since)) / 1000));
    replace(parts.wrong, JSON.stringify(stream.warnings ?? []), () => warnings(stream.warnings));
    parts.bars.replaceChildren(...bars(stream));
    keep(parts.stages, JSON.stringify(stream.latency_us), () => [stages(stream.latency_us)]);
    replace(parts.plots, String(stream.history?.points.at(-1)?.at_ms), () =>
      plots(stream.history));
    keep(parts.quality, JSON.stringify(stream.qoe ?? null), () => [quality(stream.qoe)]);
    keep(parts.viewers, JSON.stringify(stream.viewers), () =>
      [viewers(stream.viewers, stream.subscribers)].flat().filter(Boolean));
    keep(parts.events, JSON.stringify(stream.events), () => [events(stream.events ?? [], false)]);
  }
  return { root, update };
}

/** As `replace`, but what was scrolled sideways stays so, and the focus too. */
function keep(node, key, children) {
  const scrolled = node.querySelector(".scroll");
  const left = scrolled?.scrollLeft ?? 0;
  const focused = scrolled !== null && document.activeElement === scrolled;
  replace(node, key, children);
  const fresh = node.querySelector(".scroll");
  if (!fresh || fresh === scrolled) return;
  fresh.scrollLeft = left;
  if (focused) fresh.focus({ preventScroll: true });
}
