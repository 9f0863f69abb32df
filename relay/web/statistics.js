// The statistics overlay: what the worker measured, as words and as a bar.
import { codecName } from "./words.js";

/** The stages of the latency in the order in which a frame goes through them. */
const STAGES = [["network", "Network", "networkMs"], ["buffer", "Buffer", "bufferMs"],
  ["decode", "Decoding", "decodeMs"]];

const ms = (value) => (Number.isFinite(value) ? `${Math.round(value)} ms` : "–");

function rate(bps) {
  return bps >= 1e6 ? `${(bps / 1e6).toFixed(2)} Mbit/s` : `${Math.round(bps / 1e3)} kbit/s`;
}

function total(stats) {
  // Without the relay's clock the network's part is not known, and said to be missing.
  if (!Number.isFinite(stats.totalMs)) return `${ms(stats.lagMs)} + network`;
  const error = stats.clockErrorMs;
  return Number.isFinite(error) ? `${ms(stats.totalMs)} ± ${Math.max(1, Math.round(error))}`
    : ms(stats.totalMs);
}

/** When the first picture was seen; before it, when the relay answered and when media came. */
function startup(stats) {
  const steps = [stats.connectedMs, stats.mediaMs].filter((step) => step < stats.firstPictureMs);
  return [...steps.map((step) => Math.round(step)), ms(stats.firstPictureMs)].join(" › ");
}

/** Rows of the overlay: label, value, and the stage whose colour they explain. */
export function rows(stats) {
  const codecs = [stats.videoCodec, stats.audioCodec].filter(Boolean).map(codecName);
  const picture = stats.width > 0 ? `${stats.width} × ${stats.height}` : "–";
  return [
    ["Relay to screen", total(stats)],
    ...STAGES.map(([stage, label, field]) => [label, ms(stats[field]), stage]),
    ["Ahead / target", `${ms(stats.aheadMs)} / ${ms(stats.targetMs)}`],
    ["Arrival jitter", ms(stats.jitterMs)],
    ["Playing speed", `${(stats.rate * 100).toFixed(1)} %`],
    ["Picture − sound", ms(stats.offsetMs)],
    ["Picture", stats.videoCodec ? `${picture}, ${stats.fps.toFixed(0)} fps` : "none"],
    ["Dropped frames", `${stats.dropped} of ${stats.rendered + stats.dropped}`],
    ["Stalls / skips", `${stats.stalls} / ${stats.skips}`],
    ["Codecs", codecs.join(", ") || "–"],
    ["Bitrate", rate(stats.bitrateBps)],
    ["First picture", startup(stats)],
    ["Transport", stats.transport ?? "–"],
  ];
}

/** Writes the rows into a `dl`, reusing its elements so that a selection survives. */
export function show(list, stats) {
  const lines = rows(stats);
  if (list.children.length !== lines.length * 2) {
    const cells = lines.flatMap(([, , stage]) => {
      const [label, value] = ["dt", "dd"].map((tag) => document.createElement(tag));
      if (stage) label.className = stage;
      return [label, value];
    });
    list.replaceChildren(...cells);
  }
  lines.flatMap(([label, value]) => [label, value]).forEach((text, at) => {
    const cell = list.children[at];
    if (cell.textContent !== text) cell.textContent = text;
  });
}

/** Sets the bar's parts to their share of the whole. */
export function showBar(bar, stats) {
  for (const [stage, , field] of STAGES) {
    bar.querySelector(`.${stage}`).style.flexGrow = Math.max(0, stats[field] ?? 0);
  }
}
