// The page at /watch/{name}: its title, and what the relay had not filled in.
import "./weir-player.js";

/** Pause before asking the relay again, in ms. */
const ASK_AGAIN_MS = 2000;

const name = location.pathname.replace(/^\/watch\//, "");
const player = document.querySelector("weir-player");
const title = name.split("/").map(decodeURIComponent).join("/");

// In a frame of another page there is room for the picture only.
document.documentElement.classList.toggle("framed", window !== window.top);
document.title = `${title} · Weir`;
document.querySelector("h1").textContent = title;
player.setAttribute("aria-label", `Live stream ${title}`);
// What was wrong from the beginning was told before anybody listened.
const tell = () => {
  const { textContent } = player.shadowRoot.getElementById("title");
  document.querySelector("#state").textContent = textContent;
};
player.addEventListener("state", tell);
tell();

async function relay() {
  for (;;) {
    try {
      const answer = await fetch("/api/v1/relay", { signal: AbortSignal.timeout(5000) });
      if (answer.ok) return await answer.json();
    } catch {
      // It is asked again; the page itself came from it a moment ago.
    }
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
  }
}

// A relay that has no QUIC port by now is asked until it does.
if (!player.hasAttribute("src")) {
  const { quic_port: port } = await relay();
  player.setAttribute("src", player.srcAt(port));
}
