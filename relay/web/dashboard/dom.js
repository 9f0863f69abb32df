// Elements from data. Text is always text: nothing here parses markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") {
      for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    } else {
      node.setAttribute(name, value === true ? "" : value);
    }
  }
  node.append(...children.flat().filter((child) => child !== undefined && child !== null
    && child !== false));
  return node;
}

/** An HTML element. */
export const el = (tag, attributes, ...children) =>
  fill(document.createElement(tag), attributes, children);

/** An SVG element. */
export const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

/** Sets text only when it is another, so that a selection and a screen reader are left alone. */
export function say(node, text) {
  const words = String(text);
  if (node.textContent !== words) node.textContent = words;
}

/** Shows `children` in `node` in place of what is there, unless `key` says they are the same. */
export function replace(node, key, children) {
  if (node.dataset.key === key) return;
  node.dataset.key = key;
  node.replaceChildren(...[children()].flat());
}

/** A row of a table. */
export const row = (cells, tag = "td") => el("tr", {}, cells.map((cell) => {
  const [content, attributes] = Array.isArray(cell) ? cell : [cell];
  return el(tag, { scope: tag === "th" ? "col" : undefined, ...attributes }, content);
}));

/** A labelled number. */
export function tile(label, hint) {
  const value = el("dd", {}, "–");
  const root = el("div", { class: "tile", title: hint }, el("dt", {}, label), value);
  return { root, set: (text) => say(value, text) };
}

/** Text with a button that copies it. */
export function copyable(label, text) {
  const button = el("button", { type: "button", "aria-label": `Copy: ${label}` }, "Copy");
  const code = el("code", { tabindex: "0" }, text);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      say(button, "Copied");
    } catch {
      // Pages without a secure address have no clipboard: the text is selected instead.
      getSelection().selectAllChildren(code);
      say(button, "Press Ctrl+C");
    }
    setTimeout(() => say(button, "Copy"), 2000);
  });
  return el("div", { class: "copyable" },
    el("span", { class: "label" }, label), code, button);
}
