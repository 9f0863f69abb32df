// The MSF catalog: which tracks a stream has and how they are decoded.

export const CATALOG_TRACK = "catalog";
/** Longest catalog that is read, in bytes; Weir's own are about 1 KiB. */
const CATALOG_MAX = 64 << 10;

/** Reads a whole catalog into `{complete, video, audio}`; what is not there is undefined. */
export function parseCatalog(payload) {
  if (payload.length > CATALOG_MAX) throw new Error("the stream's catalog is too long");
  const json = JSON.parse(new TextDecoder().decode(payload));
  // A delta says nothing without the catalog that it changes; whole ones come with each group.
  if (json === null || typeof json !== "object" || json.deltaUpdate) return undefined;
  const tracks = Array.isArray(json.tracks) ? json.tracks : [];
  const data = new Map((json.initDataList ?? []).map((init) => [init.id, init]));
  const track = (role) => {
    const found = tracks.find((track) => track.role === role && track.packaging === "loc");
    if (!found?.name || !found.codec) return undefined;
    const init = data.get(found.initRef);
    return {
      name: found.name,
      codec: found.codec,
      description: init?.type === "inline" ? fromBase64(init.data) : undefined,
      width: number(found.width),
      height: number(found.height),
      framerate: number(found.framerate),
      sampleRate: number(found.samplerate) ?? 48_000,
      channels: number(found.channelConfig) ?? 2,
    };
  };
  return { complete: json.isComplete === true, video: track("video"), audio: track("audio") };
}

/** Whether two tracks are decoded alike; sizes and rates are hints, and come with the media. */
export function sameDecoding(a, b) {
  const facts = (track) => [track.name, track.codec, String(track.description), track.sampleRate,
    track.channels].join("/");
  return a !== undefined && b !== undefined && facts(a) === facts(b);
}

function number(value) {
  const found = Number(value);
  return Number.isFinite(found) && found > 0 ? found : undefined;
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}
