// Plots as inline SVG: bars of stages, sparklines, and histograms over time.

import { el, svg } from "./dom.js";
import { time } from "./format.js";

/** The stages of a frame's way in the relay, in order; `hint` says what each is. */
export const RELAY_STAGES = [
  { key: "ingest", label: "ingest", hint: "first byte read until the frame is whole" },
  { key: "queue", label: "queue", hint: "whole until it is taken up for a viewer" },
  { key: "send", label: "send", hint: "taken up until the viewer's stream accepts it" },
];

/**
 * A bar whose parts are as wide as their shares, with a legend.
 * `parts` are `{ key, label, value, hint }`, values in microseconds.
 */
export function stacked(title, parts, total, detail) {
  const sum = parts.reduce((all, part) => all + part.value, 0);
  const words = parts.map((part) => `${part.label} ${time(part.value)}`).join(", ");
  const bar = svg("svg", { class: "stack", viewBox: "0 0 1000 20", role: "img",
    preserveAspectRatio: "none", "aria-label": `${title}: ${words}` });
  let left = 0;
  for (const part of parts) {
    const width = sum > 0 ? (part.value / sum) * 1000 : 0;
    // A share that is too small to see is still there.
    const shown = part.value > 0 ? Math.max(width, 3) : 0;
    bar.append(svg("rect", { class: `stage-${part.key}`, x: left, y: 0, width: shown, height: 20 },
      svg("title", {}, `${part.label}: ${time(part.value)}`)));
    left += width;
  }
  const legend = el("ul", { class: "legend", "aria-hidden": "true" }, parts.map((part) =>
    el("li", { title: part.hint }, el("i", { class: `dot stage-${part.key}` }), part.label, " ",
      el("b", {}, part.value > 0 ? time(part.value) : "–"))));
  return el("figure", { class: "bar" },
    el("figcaption", {}, el("span", {}, title), el("b", {}, time(total)),
      detail && el("small", {}, detail)),
    bar, legend);
}

/** A line of values over time; gaps where a value is not known. */
export function sparkline(values, label, shown) {
  const [width, height] = [240, 48];
  const numbers = values.filter((value) => Number.isFinite(value));
  const top = Math.max(...numbers, 0) || 1;
  const step = width / Math.max(values.length - 1, 1);
  let line = "";
  let open = false;
  values.forEach((value, at) => {
    if (!Number.isFinite(value)) return void (open = false);
    const y = height - 3 - (value / top) * (height - 8);
    line += `${open ? "L" : "M"}${(at * step).toFixed(1)} ${y.toFixed(1)}`;
    open = true;
  });
  const newest = numbers.at(-1);
  const text = `${label}: now ${shown(newest)}, at most ${shown(numbers.length ? top : undefined)}`;
  const picture = svg("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, role: "img",
    preserveAspectRatio: "none", "aria-label": text });
  if (line && !line.slice(1).includes("M")) {
    picture.append(svg("path", { class: "area",
      d: `${line}L${((values.length - 1) * step).toFixed(1)} ${height}L0 ${height}Z` }));
  }
  picture.append(svg("path", { class: "line", d: line, "vector-effect": "non-scaling-stroke" }));
  return picture;
}

/** A sparkline with its name, its newest value and its peak. */
export function trend(label, values, shown) {
  const numbers = values.filter((value) => Number.isFinite(value));
  return el("figure", { class: "trend" },
    el("figcaption", {}, el("span", {}, label), el("b", {}, shown(numbers.at(-1)))),
    sparkline(values, label, shown),
    el("small", {}, `peak ${shown(numbers.length ? Math.max(...numbers) : undefined)}`));
}

/** A histogram a column: time goes to the right, latency upward, darker is more. */
export function heatmap(title, bounds, columns, slots) {
  const used = columns.flatMap((column) => column.flatMap((n, at) => (n > 0 ? [at] : [])));
  const low = Math.max(0, Math.min(...used, bounds.length) - 1);
  const high = Math.min(bounds.length, Math.max(...used, 0) + 1);
  const rows = used.length ? high - low + 1 : 1;
  const [width, cell] = [720, 18];
  const step = width / slots;
  const picture = svg("svg", { class: "heat", viewBox: `0 0 ${width} ${rows * cell}`, role: "img",
    preserveAspectRatio: "none", "aria-label": summary(title, bounds, columns) });
  columns.forEach((column, at) => {
    const all = column.reduce((sum, n) => sum + n, 0);
    column.forEach((n, bucket) => {
      if (n === 0) return;
      const x = width - (columns.length - at) * step;
      const y = (high - bucket) * cell;
      picture.append(svg("rect", { x, y, width: step - 0.6, height: cell - 1,
        // The square root keeps the few late ones visible beside the many.
        "fill-opacity": Math.max(0.08, Math.sqrt(n / all)).toFixed(3) },
        svg("title", {}, `${n} of ${all}: ${range(bounds, bucket)}`)));
    });
  });
  const labels = [];
  for (let bucket = high; bucket >= low && used.length; bucket -= 1) {
    labels.push(el("li", {}, bucket < bounds.length ? `≤ ${time(bounds[bucket])}` : "more"));
  }
  return el("figure", { class: "heatmap" }, el("figcaption", {}, title),
    used.length
      ? el("div", { class: "plot" }, el("ul", { "aria-hidden": "true" }, labels), picture)
      : el("p", { class: "dim" }, "No sample yet."));
}

function range(bounds, bucket) {
  const above = bucket > 0 ? time(bounds[bucket - 1]) : "0";
  return bucket < bounds.length ? `${above} to ${time(bounds[bucket])}` : `over ${above}`;
}

function summary(title, bounds, columns) {
  const total = new Array(bounds.length + 1).fill(0);
  columns.forEach((column) => column.forEach((n, at) => (total[at] += n)));
  const all = total.reduce((sum, n) => sum + n, 0);
  const shares = total.flatMap((n, at) =>
    (n > 0 ? [`${Math.round((100 * n) / all)} % ${range(bounds, at)}`] : []));
  return `${title}: ${shares.join(", ") || "no sample"}`;
}
