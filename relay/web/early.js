// A part of the page at /watch/{name}, run before its modules are there: says what the player plays
// and starts its thread, which connects while they come.
{
  /** The modules wait so long for the thread, in ms: it begins later while the page is busy. */
  const MODULES_MS = 300;
  const player = document.querySelector("weir-player");
  const { port, loopback, version } = player.dataset;
  const query = new URLSearchParams(location.search);
  const name = location.pathname.replace(/^\/watch\//, "");
  // Browsers try the first of localhost's addresses only, and the relay may have the other one.
  const host = location.hostname === "localhost" && loopback ? loopback : location.hostname;
  const credential = ["token", "key"].find((kind) => query.has(kind));
  const asked = credential
    ? `?${credential}=${encodeURIComponent(query.get(credential))}` : "";
  let load = () => {
    load = () => {};
    const script = document.createElement("script");
    script.type = "module";
    script.src = `/player/${version}/watch.js`;
    document.head.append(script);
  };
  if (query.has("latency")) player.setAttribute("latency", query.get("latency"));
  if (query.get("reports") === "off") player.setAttribute("reports", "off");
  if (query.has("sound")) player.setAttribute("sound", "");
  player.setAttribute("certificate-url", new URL("/certificate.sha256", location.href).href);
  player.srcAt = (at) => `https://${host}:${at}/${name}${asked}`;
  // Without a port the page asks for it, and without the features the player says what is missing.
  if (port) player.setAttribute("src", player.srcAt(port));
  if (port && isSecureContext && globalThis.WebTransport && globalThis.VideoDecoder) {
    const attribute = (wanted) => player.getAttribute(wanted) ?? undefined;
    const address = (module) => `/player/${version}/${module}`;
    const start = { url: attribute("src"), startedMs: performance.timeOrigin,
      certificate: attribute("certificate"), certificateUrl: attribute("certificate-url"),
      latency: attribute("latency"), reports: attribute("reports") !== "off" };
    const options = { type: "module", name: JSON.stringify(start) };
    const worker = new Worker(address("decoder.worker.js"), options);
    // Asked for by now, the page's own modules do not hold the thread up.
    const link = document.createElement("link");
    Object.assign(link, { rel: "modulepreload", href: address("watch.js") });
    document.head.append(link);
    const early = { worker, told: [], failed: undefined };
    worker.onmessage = ({ data }) => {
      early.told.push(data);
      load();
    };
    worker.onerror = (event) => {
      early.failed = event;
      load();
    };
    setTimeout(() => load(), MODULES_MS);
    player.early = early;
  } else {
    load();
  }
}
