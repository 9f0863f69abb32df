// How to push and how to watch, with the addresses by which this page was reached.

import { copyable, el } from "./dom.js";
import { path } from "./format.js";

/** The host as an address has it: IPv6 in brackets, as the page's own address has it too. */
const host = () => location.hostname || "localhost";

const withPort = (port, usual) => (port && port !== usual ? `${host()}:${port}` : host());

const port = (relay, name) => relay.ports?.find(([known]) => known === name)?.[1];

/** The address to push to, without the stream key. */
const server = (relay, app) => `rtmp://${withPort(port(relay, "rtmp"), 1935)}/${app}`;

/** Application and key of a stream's name: the last part is the key. */
function parts(name) {
  const at = name.lastIndexOf("/");
  return at < 0 ? [name, ""] : [name.slice(0, at), name.slice(at + 1)];
}

/** Settings for encoders. */
export function push(relay, name) {
  const [app, key] = parts(name);
  const obs = el("div", { class: "card" }, el("h3", {}, "OBS Studio"),
    el("p", {}, "Settings → Stream, service “Custom…”"),
    copyable("Server", server(relay, app)), copyable("Stream key", key),
    el("p", { class: "dim" },
      "Settings → Output, mode “Advanced”: keyframe interval 2 s, tune zerolatency."));
  const command = `ffmpeg -re -i movie.mp4 -c:v libx264 -preset veryfast -tune zerolatency `
    + `-g 60 -c:a aac -f flv ${server(relay, app)}/${key}`;
  const ffmpeg = el("div", { class: "card" }, el("h3", {}, "ffmpeg"),
    el("p", {}, "A file, as if it were live"), copyable("Command", command));
  return [obs, ffmpeg];
}

/** Links for viewers. */
export function watch(relay, name) {
  const quic = port(relay, "quic") ?? 4443;
  const link = new URL(path("/watch", name), location.href).href;
  const source = `https://${host()}:${quic}/${path("", name).slice(1)}`;
  const module = new URL("/player/weir-player.js", location.href).href;
  const embed = `<script type="module" src="${module}"></script>\n`
    + `<weir-player src="${source.replaceAll('"', "&quot;")}"></weir-player>`;
  return el("div", { class: "card" }, el("h3", {}, "Share"),
    copyable("Watch link", link), copyable("Embed", embed),
    copyable("In a pipe", `weir pull moqt://${host()}:${quic}/${name} --insecure | ffplay -`));
}

/** What to do when nothing is live. */
export function emptyState(relay) {
  return el("section", { class: "empty", "aria-labelledby": "empty" },
    el("h1", { id: "empty" }, "Nothing is live yet"),
    el("p", {}, "Push a stream to this relay and it appears here by itself."),
    el("div", { class: "cards" }, push(relay, "live/cam")),
    el("p", { class: "dim" }, "Just looking? ", el("code", {}, "weir serve --demo"),
      " streams a small built-in clip."));
}
