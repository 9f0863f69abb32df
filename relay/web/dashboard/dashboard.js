// The page's own script: which view it is, and the relay's line at the top.

import { say } from "./dom.js";
import { follow } from "./feed.js";
import { duration } from "./format.js";
import { overview } from "./overview.js";
import { streamPage } from "./stream.js";

const STREAM = "/stream/";

/** The stream that the address names; undefined on the overview. */
function named() {
  if (!location.pathname.startsWith(STREAM)) return undefined;
  try {
    return decodeURIComponent(location.pathname.slice(STREAM.length));
  } catch {
    return location.pathname.slice(STREAM.length);
  }
}

const name = named();
const view = name === undefined ? overview() : streamPage(name);
const feed = `/api/v1/live${name === undefined ? "" : location.pathname.slice(STREAM.length - 1)}`;
const [line, link] = ["relay", "link"].map((id) => document.getElementById(id));

document.title = name === undefined ? "Weir" : `${name} · Weir`;
document.getElementById("main").append(view.root);

follow(feed, (snapshot) => {
  const { relay } = snapshot;
  say(line, `${relay.version} · up ${duration(relay.uptime_s)}`);
  view.update(snapshot);
  if (!relay.ready) {
    say(link, "The relay is stopping");
    link.className = "link lost";
  }
}, (state) => {
  say(link, state === "live" ? "Live" : "The relay does not answer; trying again");
  link.className = `link ${state}`;
});
