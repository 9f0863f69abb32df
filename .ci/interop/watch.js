// Listens to whatever is played, looks at whatever is drawn, and tells the server of this page.
const analysers = [];
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...rest) {
  if (to === this.context.destination) {
    const analyser = new AnalyserNode(this.context);
    connect.call(this, analyser);
    analysers.push(analyser);
  }
  return connect.call(this, to, ...rest);
};
await import("@moq/watch/element");

const small = document.createElement("canvas");
small.width = 64;
small.height = 36;
const pencil = small.getContext("2d", { willReadFrequently: true });
const pictures = new Set();
let loudest = 0;
setInterval(() => {
  const canvas = document.querySelector("canvas");
  if (canvas.width > 0) {
    pencil.drawImage(canvas, 0, 0, 64, 36);
    const pixels = pencil.getImageData(0, 0, 64, 36).data;
    const coloured = pixels.some((value, at) => at % 4 < 3 && value > 40);
    if (coloured) pictures.add(pixels.reduce((sum, value, at) => (sum * 31 + value * at) % 1e9, 7));
  }
  for (const analyser of analysers) {
    const wave = new Float32Array(analyser.fftSize);
    analyser.getFloatTimeDomainData(wave);
    loudest = Math.max(loudest, ...wave.map(Math.abs));
  }
  const size = [canvas.width, canvas.height];
  const body = JSON.stringify({ pictures: pictures.size, loudest, size });
  fetch("/report", { method: "POST", body });
}, 200);
