// The statistics overlay: what the worker measured, as words.
import { codecName } from "./words.js";

const ms = (value) => (Number.isFinite(value) ? `${Math.round(value)} ms` : "–");

function rate(bps) {
  return bps >= 1e6 ? `${(bps / 1e6).toFixed(2)} Mbit/s` : `${Math.round(bps / 1e3)} kbit/s`;
}

/** Rows of the overlay, label and value. */
export function rows(stats) {
  const network = Number.isFinite(stats.rttMs) ? stats.rttMs / 2 : undefined;
  const codecs = [stats.videoCodec, stats.audioCodec].filter(Boolean).map(codecName);
  return [
    // Without the encoder and the way to the relay, of which the player knows nothing.
    network === undefined ? ["Arrival to screen", ms(stats.lagMs)]
      : ["Relay to screen", ms(stats.lagMs + network)],
    ["Target", ms(stats.targetMs)],
    ["Network, one way", ms(network)],
    ["Buffer", ms(stats.aheadMs)],
    ["Arrival jitter", ms(stats.jitterMs)],
    ["Speed", `${(stats.rate * 100).toFixed(1)} %`],
    ["Picture", stats.videoCodec ? `${stats.width} × ${stats.height}` : "none"],
    ["Frames", `${stats.fps.toFixed(0)} /s`],
    ["Dropped", `${stats.dropped}`],
    ["Stalls, skips", `${stats.stalls}, ${stats.skips}`],
    ["Picture − sound", ms(stats.offsetMs)],
    ["Codecs", codecs.join(", ") || "–"],
    ["Bitrate", rate(stats.bitrateBps)],
    ["First picture", ms(stats.firstPictureMs)],
    ["Transport", stats.transport ?? "–"],
  ];
}

/** Writes the rows into a `dl`, reusing its elements so that a selection survives. */
export function show(list, stats) {
  const lines = rows(stats);
  if (list.children.length !== lines.length * 2) {
    const cells = lines.flatMap(() => ["dt", "dd"].map((tag) => document.createElement(tag)));
    list.replaceChildren(...cells);
  }
  lines.flat().forEach((text, at) => {
    const cell = list.children[at];
    if (cell.textContent !== text) cell.textContent = text;
  });
}
