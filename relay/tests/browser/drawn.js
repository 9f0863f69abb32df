// Watches players from inside their page: reads what each picture carries, and hears the beeps.
//
// `watch(player)` gives `{pictures, blurred, beeps, states}`: pictures as `[number, late, flash, at]`
// with the milliseconds since each was drawn; `blurred`, those whose blocks could not be told apart;
// the times at which beeps are heard.
const BITS = 16;
const WIDTH = BITS * 8;
const ROWS = 4;
const HOUR_MS = 3_600_000;

window.watch = (player) => {
  // Players of others have no states.
  const showing = () => (player.state ?? "live") === "live";
  const canvas = () => player.querySelector("canvas") ?? player.shadowRoot?.querySelector("canvas");
  const context = new OffscreenCanvas(WIDTH, ROWS).getContext("2d", { willReadFrequently: true });
  const watched = { pictures: [], blurred: 0, beeps: [], states: [player.state] };
  player.addEventListener("state", ({ detail }) => watched.states.push(detail.state));

  function word(data, row) {
    let found = 0;
    for (let bit = 0; bit < BITS; bit += 1) {
      const light = data[(row * WIDTH + bit * 8 + 4) * 4 + 1];
      if (light > 85 && light < 170) return undefined;
      if (light >= 170) found += 2 ** bit;
    }
    return found;
  }

  function look() {
    const picture = canvas();
    if (!showing() || !(picture?.width >= WIDTH)) return;
    context.drawImage(picture, 0, 0, picture.width, picture.height, 0, 0, WIDTH, ROWS);
    const { data } = context.getImageData(0, 0, WIDTH, ROWS);
    const words = [0, 1, 2, 3].map((row) => word(data, row));
    if (words.includes(undefined)) return void (watched.blurred += 1);
    const [number, low, high, flash] = words;
    if (watched.pictures.at(-1)?.[0] === number) return;
    const at = performance.now();
    const drawn = low + high * 65_536;
    const late = (((performance.timeOrigin + at - drawn) % 2 ** 32) + 2 ** 32) % 2 ** 32;
    if (late < HOUR_MS) watched.pictures.push([number, late, flash > 0, at]);
  }

  let quiet = true;
  let lookedUntil = 0;

  /** Looks at the samples that have been played since the last look. */
  function listen(analyser) {
    const { sampleRate, currentTime, outputLatency } = analyser.context;
    const samples = new Float32Array(analyser.fftSize);
    analyser.getFloatTimeDomainData(samples);
    const at = performance.now() + outputLatency * 1000;
    const fresh = Math.min(samples.length, Math.round((currentTime - lookedUntil) * sampleRate));
    lookedUntil = currentTime;
    const heard = samples.subarray(samples.length - fresh);
    const onset = heard.findIndex((sample) => Math.abs(sample) > 0.05);
    if (onset >= 0 && quiet) watched.beeps.push(at - ((heard.length - onset) * 1000) / sampleRate);
    if (heard.length > 0) quiet = onset < 0;
  }

  watched.hear = async () => {
    while (!player.audioNode) await new Promise((resolve) => setTimeout(resolve, 50));
    const node = player.audioNode;
    const analyser = new AnalyserNode(node.context, { fftSize: 8192 });
    node.connect(analyser);
    watched.analyser = analyser;
  };

  function frame() {
    look();
    if (watched.analyser) listen(watched.analyser);
    requestAnimationFrame(frame);
  }
  requestAnimationFrame(frame);
  return watched;
};
