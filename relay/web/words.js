// What the player says in each state: a title, a sentence, and whether asking again is of use.

export const WORDS = {
  connecting: () => ({ title: "Connecting", text: "", busy: true }),
  waiting: () => ({
    title: "Waiting for the streamer",
    text: "The stream starts here by itself as soon as it is live.",
    busy: true,
  }),
  live: () => ({ title: "Live", text: "" }),
  interrupted: () => ({
    title: "The streamer's connection is interrupted",
    text: "Nothing has come for some seconds. The stream goes on by itself when it is back.",
    busy: true,
  }),
  gone: () => ({
    title: "The stream is over for now",
    text: "The streamer has gone. If they return, the stream goes on here by itself.",
    busy: true,
  }),
  offline: ({ reason, waitMs }) => ({
    title: "The relay does not answer",
    text: `Trying again ${waitMs > 1000 ? `every ${Math.round(waitMs / 1000)} seconds` : "soon"}. `
      + `(${plain(reason)})`,
    retry: true,
  }),
  broken: ({ reason }) => ({
    title: "The player has failed",
    text: `Load the page again; if that does not help, the streamer should know of this: `
      + `${plain(reason)}.`,
  }),
  refused: ({ reason, kind, shown }) => ({
    title: refusal(kind, shown),
    text: `${kind ? `Ask the streamer for ${shown ? "a new" : "the whole"} link. ` : ""}`
      + `(The relay says: ${plain(reason)}.)`,
    retry: true,
  }),
  codec: ({ codec, kind }) => ({
    title: `This browser cannot play ${codecName(codec)}`,
    text: kind === "video"
      ? "The picture needs a browser or device that decodes it; the streamer could send H.264."
      : "The sound needs a browser or device that decodes it; the streamer could send AAC or Opus.",
  }),
  browser: ({ missing }) => ({
    title: "This browser is too old for live streams",
    text: `It lacks ${missing.join(" and ")}. Chrome, Edge and other Chromium browsers of this `
      + "year can play it.",
  }),
  insecure: ({ host }) => ({
    title: "This address is not secure enough for the player",
    text: `Browsers play live streams only on https pages or on localhost, and ${host} is neither. `
      + "Start the relay with a certificate (--tls-cert, --tls-key), or watch on its own machine.",
  }),
  unset: () => ({ title: "No stream to play", text: "The player's src names none." }),
};

/** Who is refused, and why: `kind` of a refusal, and whether a token or key was shown. */
function refusal(kind, shown) {
  if (kind === "expired") return "This link has expired";
  if (kind === "unauthorized") {
    return shown ? "This link does not open this stream"
      : "This stream opens only with a link that has a token";
  }
  return "The relay refuses this stream";
}

/** What this browser lacks to play anything. */
export function missingFeatures() {
  const needed = [
    ["WebTransport", "WebTransport"],
    ["VideoDecoder", "WebCodecs"],
    ["AudioWorkletNode", "AudioWorklet"],
  ];
  return needed.filter(([name]) => !(name in globalThis)).map(([, title]) => title);
}

const CODECS = [
  ["avc", "H.264"], ["hvc1", "HEVC (H.265)"], ["hev1", "HEVC (H.265)"], ["av01", "AV1"],
  ["vp09", "VP9"], ["mp4a", "AAC"], ["opus", "Opus"],
];

export function codecName(codec) {
  return CODECS.find(([prefix]) => codec?.startsWith(prefix))?.[1] ?? codec;
}

/** Errors end in a full stop or not; the sentence around brings its own. */
function plain(reason) {
  return String(reason || "no reason given").trim().replace(/\.$/, "");
}
