// Follows the relay: a snapshot about once a second, again after every loss, not while hidden.

const RETRY_MS = 3000;

/** Calls `show(snapshot)` for each, and `state(word)` when the connection comes or goes. */
export function follow(path, show, state) {
  let source;
  let timer;

  function open() {
    clearTimeout(timer);
    source?.close();
    source = new EventSource(path);
    source.addEventListener("message", (event) => {
      state("live");
      show(JSON.parse(event.data));
    });
    source.addEventListener("error", () => {
      state("lost");
      // The browser tries again by itself, unless the relay refused.
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(open, RETRY_MS);
    });
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) return open();
    clearTimeout(timer);
    source?.close();
  });
  // A page that goes into the browser's cache would hold its place at the relay.
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => event.persisted && open());
  open();
}
