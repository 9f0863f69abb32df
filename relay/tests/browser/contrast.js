// How well a page's words and icons stand out (WCAG 2, 1.4.3 and 1.4.11): their computed colours
// against the pixels behind them, which a picture of the page without them shows.
//
// `look()` remembers what there is and hides it; `judge(png)` tells what is too faint, as
// `[{what, ratio, needed}]`, and shows it again. What is covered has a ratio of 0. A page that
// changes by itself may have moved between the two, and the picture then shows something else
// where a word was: `judge` says `"moved"` in place of a verdict.
const TEXT = 4.5;
/** Large text (24 px, or 18.66 px and bold), and what is no text. */
const LARGE = 3;
/** So much of what lies behind a word may be anything: edges of what is next to it. */
const STRAY = 0.02;
/** What is told by its own colour alone. */
const MARKS = ".dot, #live i";
const HIDING = `*, *::before, *::after { color: transparent !important;
    -webkit-text-fill-color: transparent !important; transition: none !important; }
  svg { visibility: hidden !important; }`;

window.contrast = (() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(HIDING);
  const brush = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  let roots = [];
  let found = [];
  let hidden = [];

  /** `[red, green, blue, alpha]` of a colour of the style language. */
  function parse(color) {
    brush.clearRect(0, 0, 1, 1);
    brush.fillStyle = color;
    brush.fillRect(0, 0, 1, 1);
    return [...brush.getImageData(0, 0, 1, 1).data];
  }

  const parent = (node) => node.parentElement ?? node.getRootNode().host;

  /** What is seen of a box: the window and all that scrolls cut it. */
  function seen(box, element) {
    let [left, top, right, bottom] = [box.left, box.top, box.right, box.bottom];
    const cut = (other) => {
      [left, top] = [Math.max(left, other.left), Math.max(top, other.top)];
      [right, bottom] = [Math.min(right, other.right), Math.min(bottom, other.bottom)];
    };
    cut({ left: 0, top: 0, right: innerWidth, bottom: innerHeight });
    for (let one = element; one; one = parent(one)) {
      const { overflowX, overflowY, clipPath } = getComputedStyle(one);
      if (overflowX !== "visible" || overflowY !== "visible" || clipPath !== "none") {
        cut(one.getBoundingClientRect());
      }
    }
    return right - left > 2 && bottom - top > 2 ? [left, top, right, bottom] : undefined;
  }

  /** Whether the shade behind the controls lies over what is not one of them, or something else
   *  over a control: looked at in the middle and near the corners. */
  function covered([left, top, right, bottom], element) {
    const control = element.closest("#bar");
    const [xs, ys] = [[left + 2, right - 2], [top + 2, bottom - 2]];
    const points = xs.flatMap((x) => ys.map((y) => [x, y]));
    return [[(left + right) / 2, (top + bottom) / 2], ...points].some(([x, y]) => {
      const over = element.getRootNode().elementFromPoint(x, y);
      return control ? !over?.closest("#bar") : over?.matches("#bar");
    });
  }

  function remember(what, element, color, boxes, needed) {
    let opacity = 1;
    for (let one = element; one; one = parent(one)) opacity *= getComputedStyle(one).opacity;
    const cut = boxes.map((box) => seen(box, element)).filter(Boolean);
    if (cut.some((box) => covered(box, element))) hidden.push({ what, needed, ratio: 0 });
    const [red, green, blue, alpha] = parse(color);
    if (cut.length > 0 && opacity > 0) {
      found.push({ what, color: [red, green, blue], alpha: (alpha / 255) * opacity, boxes: cut,
        needed });
    }
  }

  function walk(root) {
    roots.push(root);
    for (const element of root.querySelectorAll("*")) {
      if (element.shadowRoot) walk(element.shadowRoot);
      if (!element.checkVisibility({ visibilityProperty: true })) continue;
      if (element.closest(":disabled")) continue;
      const style = getComputedStyle(element);
      const name = `${element.tagName.toLowerCase()}${element.id && `#${element.id}`}`;
      if (element.matches("button svg, a svg, #level svg")) {
        const box = element.getBoundingClientRect();
        remember(`icon of ${parent(element).id || name}`, element, style.color, [box], LARGE);
      }
      if (element.matches(MARKS)) {
        const { left, top, bottom } = element.getBoundingClientRect();
        const beside = { left: left - 4, right: left - 1, top, bottom };
        remember(`mark ${element.className || name}`, parent(element), style.backgroundColor,
          [beside], LARGE);
      }
      for (const node of element.childNodes) {
        const words = node.nodeType === Node.TEXT_NODE ? node.textContent.trim() : "";
        if (!words || element.closest("svg, style, script, noscript")) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
        const color = element.closest("text") ? style.fill : style.color;
        remember(`${name} "${words.slice(0, 40)}"`, element, color, [...range.getClientRects()],
          large ? LARGE : TEXT);
      }
    }
  }

  function luminance(color) {
    const [red, green, blue] = color.map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }

  function ratio(color, alpha, behind) {
    const shown = color.map((value, at) => value * alpha + behind[at] * (1 - alpha));
    const [one, other] = [luminance(shown), luminance(behind)];
    return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  }

  function least({ color, alpha, boxes }, context) {
    const ratios = [];
    for (const [left, top, right, bottom] of boxes) {
      const [x, y] = [Math.floor(left), Math.floor(top)];
      const { data } = context.getImageData(x, y, Math.ceil(right) - x, Math.ceil(bottom) - y);
      for (let at = 0; at < data.length; at += 4) {
        ratios.push(ratio(color, alpha, data.subarray(at, at + 3)));
      }
    }
    ratios.sort((a, b) => a - b);
    return ratios[Math.floor(ratios.length * STRAY)];
  }

  function take() {
    [roots, found, hidden] = [[], [], []];
    walk(document);
  }

  const places = () => JSON.stringify(found.map(({ boxes }) => boxes));

  return {
    look() {
      take();
      for (const root of roots) root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
      return found.map(({ what }) => what);
    },
    async judge(png) {
      for (const root of roots) {
        root.adoptedStyleSheets = root.adoptedStyleSheets.filter((one) => one !== sheet);
      }
      const bytes = Uint8Array.from(atob(png), (char) => char.charCodeAt(0));
      const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
      const canvas = new OffscreenCanvas(picture.width, picture.height);
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(picture, 0, 0);
      const judged = found.map((one) => ({ what: one.what, needed: one.needed,
        ratio: Math.round(least(one, context) * 100) / 100 }));
      const faint = [...hidden, ...judged.filter((one) => one.ratio < one.needed)];
      const before = places();
      take();
      return faint.length > 0 && places() !== before ? "moved" : faint;
    },
  };
})();
