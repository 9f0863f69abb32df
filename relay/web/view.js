// How the player looks: its markup, its icons and its style.

const ICONS = {
  play: "M8 5v14l11-7z",
  pause: "M7 5h4v14H7zM13 5h4v14h-4z",
  loud: "M4 9v6h4l5 4V5L8 9zM16 8.5a5 5 0 0 1 0 7M18.5 6a8.5 8.5 0 0 1 0 12",
  muted: "M4 9v6h4l5 4V5L8 9zM16.5 9.5l5 5M21.5 9.5l-5 5",
  info: "M12 11v6M12 7.5v.01M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
  pip: "M3 5h18v14H3zM12.5 12h6v4.5h-6z",
  full: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  small: "M9 4v5H4M15 4v5h5M9 20v-5H4M15 20v-5h5",
};
const FILLED = new Set(["play", "pause"]);

export function icon(name) {
  const style = FILLED.has(name) ? 'fill="currentColor"' : 'fill="none" stroke="currentColor" '
    + 'stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round"';
  return `<svg viewBox="0 0 24 24" aria-hidden="true" ${style}><path d="${ICONS[name]}"/></svg>`;
}

/** Buttons that are on or off, and called the same all the time. */
const PRESSED = new Set(["info", "pip"]);

const button = (id, name, label, keys) =>
  `<button id="${id}" type="button" aria-label="${label}" title="${label} (${keys})"
    aria-keyshortcuts="${keys}"${PRESSED.has(id) ? ' aria-pressed="false"' : ""}
    >${icon(name)}</button>`;

export const MARKUP = `
<div id="stage" class="fresh" tabindex="-1">
  <canvas id="picture" role="img" aria-label="Live picture"></canvas>
  <div id="silent" hidden><div id="level" aria-hidden="true">${icon("loud")}</div>
    <p>Sound only</p></div>
  <div id="veil"><div id="card">
    <div id="busy" aria-hidden="true"></div>
    <p id="title"></p><p id="text"></p>
    <button id="retry" type="button">Try again now</button>
  </div></div>
  <button id="unmute" type="button" hidden>${icon("muted")}<span>Turn the sound on</span></button>
  <section id="stats" aria-label="Statistics" tabindex="0" hidden>
    <div id="bars" aria-hidden="true"><i class="network"></i><i class="buffer"></i><i
      class="decode"></i></div><dl></dl></section>
  <p id="notice" aria-hidden="true" hidden></p>
  <div id="bar" role="group" aria-label="Player controls">
    ${button("play", "pause", "Pause", "k")}
    ${button("mute", "muted", "Turn the sound on", "m")}
    <input id="volume" type="range" min="0" max="100" value="100" aria-label="Volume">
    <button id="live" type="button"
      title="Go to live (l)" aria-keyshortcuts="l"><i></i>Live</button>
    <span id="gap"></span>
    ${button("info", "info", "Statistics", "i")}
    ${button("pip", "pip", "Picture in picture", "p")}
    ${button("full", "full", "Full screen", "f")}
  </div>
  <p id="said" role="status" aria-live="polite"></p>
</div>`;

export const STYLE = `
:host { display: block; position: relative; aspect-ratio: 16 / 9; background: #07090c;
  color: #f4f7fa; font: 15px/1.45 system-ui, sans-serif; overflow: hidden;
  -webkit-tap-highlight-color: transparent; }
:host([hidden]) { display: none; }
#stage { position: absolute; inset: 0; outline: 0; background: #07090c; }
#stage.idle { cursor: none; }
#picture { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; }
#veil { position: absolute; inset: 0; display: grid; place-items: center; padding: 1rem 1rem 4rem;
  background: radial-gradient(circle at 50% 40%, rgb(18 33 42 / .82), rgb(7 9 12 / .9));
  text-align: center; transition: opacity .25s; }
#veil[hidden] { display: none; }
#card { max-width: 34rem; }
#title { margin: 0; font-size: clamp(1.05rem, 2.6vw, 1.5rem); font-weight: 600;
  text-wrap: balance; }
#text { margin: .4rem 0 0; color: #b4c0cc; font-size: clamp(.85rem, 1.7vw, 1rem);
  text-wrap: balance; overflow-wrap: anywhere; }
#text:empty { display: none; }
#busy { width: 2.25rem; height: 2.25rem; margin: 0 auto 1rem; border-radius: 50%;
  border: 3px solid rgb(255 255 255 / .16); border-top-color: #5cc3e6;
  animation: turn 1s linear infinite; }
#busy[hidden] { display: none; }
@keyframes turn { to { transform: rotate(1turn); } }
button { display: inline-grid; place-items: center; min-width: 44px; height: 44px; margin: 0;
  padding: 0; border: 0; border-radius: 10px; background: none; color: inherit; font: inherit;
  cursor: pointer; }
button svg { width: 24px; height: 24px; }
button:hover { background: rgb(255 255 255 / .14); }
:focus-visible { outline: 2px solid #5cc3e6; outline-offset: -2px; }
button[hidden], input[hidden] { display: none; }
#retry { margin-top: 1rem; padding: 0 1.1rem; background: #5cc3e6; color: #07222c;
  font-weight: 600; }
#retry:hover { background: #86d5ef; }
#unmute { position: absolute; top: max(12px, env(safe-area-inset-top)); left: 12px;
  grid-auto-flow: column; gap: .5rem; padding: 0 1rem 0 .7rem; background: #f4f7fa;
  color: #0d1a22; font-weight: 600; box-shadow: 0 2px 14px rgb(0 0 0 / .45); }
#unmute:hover { background: #fff; }
#bar { position: absolute; z-index: 1; inset: auto 0 0; display: flex; align-items: center;
  gap: 2px; padding: 28px 8px max(6px, env(safe-area-inset-bottom));
  background: linear-gradient(transparent, rgb(0 0 0 / .68) 28px, rgb(0 0 0 / .78));
  transition: opacity .2s; }
.idle #bar { opacity: 0; }
/* A start that takes no longer than a blink shows the picture and nothing before it. */
.fresh :is(#veil, #bar, #unmute) { display: none; }
/* Where nothing can be played, there is nothing to control. */
:host(:is([data-state="refused"], [data-state="browser"], [data-state="insecure"],
  [data-state="unset"], [data-state="broken"])) #bar { display: none; }
#gap { flex: 1; }
#volume { width: 84px; height: 28px; margin: 0 8px 0 0; accent-color: #5cc3e6; cursor: pointer; }
#live { display: inline-flex; align-items: center; gap: .45rem; padding: 0 .7rem;
  font-size: .85rem; font-weight: 600; }
#live i { width: 9px; height: 9px; border-radius: 50%; background: #7d8894; }
#live.on i { background: #ff4d4f; }
#stats { position: absolute; top: 12px; right: 12px; max-height: calc(100% - 84px); overflow: auto;
  overscroll-behavior: contain;
  padding: .7rem .9rem; border-radius: 10px; background: rgb(7 12 16 / .86);
  font-size: 12.5px; line-height: 1.5; font-variant-numeric: tabular-nums; }
#stats[hidden] { display: none; }
#stats dl { display: grid; grid-template-columns: auto auto; gap: 0 1rem; margin: 0; }
#stats dt { color: #a9b9c7; }
#stats dt[class]::before { content: ""; display: inline-block; width: .7em; height: .7em;
  margin-right: .45em; border-radius: 2px; }
#stats dd { margin: 0; text-align: right; }
#bars { display: flex; gap: 2px; height: 8px; margin: .15rem 0 .45rem; }
#bars i { flex: 0 0 2px; border-radius: 2px; }
#bars .network, dt.network::before { background: #5cc3e6; }
#bars .buffer, dt.buffer::before { background: #f2b84b; }
#bars .decode, dt.decode::before { background: #c58cf2; }
#notice { position: absolute; z-index: 2; left: 50%; bottom: 76px; margin: 0; translate: -50%;
  padding: .5rem .9rem; border-radius: 10px; background: rgb(7 12 16 / .86); font-size: .9rem; }
#notice[hidden], #silent[hidden] { display: none; }
#silent { position: absolute; inset: 0; display: grid; place-content: center; gap: .8rem;
  background: radial-gradient(circle at 50% 40%, #15303c, #07090c); text-align: center;
  color: #b4c0cc; }
#silent p { margin: 0; }
#level { --level: 0; display: grid; place-items: center; width: 84px; height: 84px;
  margin: 0 auto; border-radius: 50%; color: #f4f7fa; background: rgb(92 195 230 / .25);
  box-shadow: 0 0 0 calc(var(--level) * 34px) rgb(92 195 230 / .18); transition: box-shadow .4s; }
#level svg { width: 40px; height: 40px; }
#said { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  margin: 0; white-space: nowrap; }
@media (max-width: 520px) {
  #volume { display: none; }
  /* Above the controls' shade, which begins higher than the controls do, and not above those. */
  #stats { left: 6px; right: 6px; top: 6px; z-index: 2; max-height: calc(100% - 58px);
    box-sizing: border-box; padding: .4rem .6rem 1.4rem; background: rgb(7 12 16 / .95);
    font-size: 11.5px; line-height: 1.5;
    mask-image: linear-gradient(#000 calc(100% - 1.6rem), transparent calc(100% - .1rem)); }
  #stage:has(#stats:not([hidden])) #unmute { display: none; }
  #veil:not([hidden]) ~ #stats { display: none; }
  #busy { width: 1.6rem; height: 1.6rem; margin-bottom: .5rem; }
  #veil { padding: .5rem 1rem 3.2rem; }
  :host([data-state="refused"]) #veil { padding-bottom: .5rem; }
  #retry { margin-top: .6rem; }
}
@media (prefers-reduced-motion: reduce) {
  #busy { animation-duration: 4s; }
  #bar, #veil, #level { transition: none; }
}`;
