// A stream's viewers: a row each, with the reason why one is late.

import { el, row } from "./dom.js";
import { bytes, duration, millis, time } from "./format.js";

// What is felt: a second behind, a round trip around the world, a fifth of a second of buffer.
const BEHIND_MS = 500;
const FAR_US = 150_000;
const BUFFER_MS = 250;
const JITTER_MS = 40;
const SYNC_MS = 60;
const STALE_MS = 20_000;

/** Why a viewer's picture is late, or not right: the first reason that holds. */
export function reason(viewer) {
  const skips = viewer.objects_skipped.behind + viewer.objects_skipped.reset;
  const report = viewer.report;
  const stale = report && report.age_ms > STALE_MS;
  if (viewer.behind_ms > BEHIND_MS) {
    return ["bad", `Its connection takes less than the stream sends: ${
      millis(viewer.behind_ms)} behind.`];
  }
  if (stale) return ["warn", `Its player has been silent for ${duration(report.age_ms / 1000)}.`];
  if (report?.buffer_ms > BUFFER_MS && report.jitter_ms > JITTER_MS) {
    return ["warn", `Frames reach it irregularly (${millis(report.jitter_ms)}), so its player `
      + `holds ${millis(report.buffer_ms)}.`];
  }
  if (report?.buffer_ms > BUFFER_MS) {
    return ["warn", `Its player holds ${millis(report.buffer_ms)} of media.`];
  }
  if (viewer.rtt_us > FAR_US) return ["warn", `It is far away: round trip ${time(viewer.rtt_us)}.`];
  if (Math.abs(report?.av_offset_ms ?? 0) > SYNC_MS) {
    return ["warn", `Picture and sound are ${millis(Math.abs(report.av_offset_ms))} apart.`];
  }
  if (report && report.dropped > 0.02 * (report.rendered + report.dropped)) {
    return ["warn", `Its device is too slow: ${report.dropped} pictures dropped.`];
  }
  if (skips > 0) return ["good", `In time now; ${skips} objects were skipped before.`];
  if (report?.stalls > 0) return ["good", `In time now; it stood still ${report.stalls} times.`];
  return ["good", "In time."];
}

const HEAD = ["Viewer", "Why is it late?", "Latency", "Buffer", "Stalls", "Behind", "Skipped",
  "Round trip", "Window", "Sent", "Since"];

/** The table; viewers with a reason come first. */
export function viewers(list, all) {
  if (list.length === 0) return el("p", { class: "dim" }, "Nobody watches yet.");
  const rank = { bad: 0, warn: 1, good: 2 };
  const rows = list.map((viewer) => ({ viewer, why: reason(viewer) }))
    .sort((a, b) => rank[a.why[0]] - rank[b.why[0]]);
  const table = el("table", {},
    el("caption", { class: "hidden" }, "Viewers, those who are late first"),
    el("thead", {}, row(HEAD.map((text, at) => [text, { class: at > 1 ? "number" : "" }]), "th")),
    el("tbody", {}, rows.map(({ viewer, why }) => line(viewer, why))));
  const more = all > list.length
    && el("p", { class: "dim" }, `The ${list.length} worst of ${all} are shown.`);
  return [el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Viewers" },
    table), more];
}

function line(viewer, [level, words]) {
  const { report } = viewer;
  const skipped = viewer.objects_skipped.behind + viewer.objects_skipped.reset;
  const number = (text) => [text, { class: "number" }];
  const program = report?.player || viewer.implementation || "player unknown";
  const who = el("div", {}, el("b", {}, viewer.addr),
    el("small", {}, `${program} · ${viewer.transport} · ${viewer.draft}`));
  const error = report?.clock_error_ms;
  const latency = report?.latency_p50_ms === undefined ? "–"
    : el("span", { title: `99 %: ${millis(report.latency_p99_ms)}${
      error === undefined ? "" : `, measured to ± ${millis(error)}`}` },
    millis(report.latency_p50_ms));
  return row([who, [words, { class: `why ${level}` }], number(latency),
    number(millis(report?.buffer_ms)), number(report ? String(report.stalls) : "–"),
    number(millis(viewer.behind_ms)), number(String(skipped)), number(time(viewer.rtt_us)),
    number(bytes(viewer.cwnd_bytes)), number(bytes(viewer.bytes_out)),
    number(duration(viewer.connected_s))]);
}
