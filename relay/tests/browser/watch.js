// Watches the player from inside its page: reads the number that each picture carries.
//
// `window.watched` has `numbers`, the pictures' numbers as they followed each other, and `blurred`,
// pictures whose blocks could not be told apart.
const BLOCKS = 16;
const player = document.querySelector("weir-player");
const reading = new OffscreenCanvas(BLOCKS * 8, 1).getContext("2d", { willReadFrequently: true });
window.watched = { numbers: [], blurred: 0, states: [player.state] };
player.addEventListener("state", ({ detail }) => window.watched.states.push(detail.state));

function read() {
  const picture = player.shadowRoot.querySelector("canvas");
  if (player.state !== "live" || picture.width < BLOCKS * 8) return;
  const { width, height } = picture;
  reading.drawImage(picture, 0, height / 2, width, 1, 0, 0, BLOCKS * 8, 1);
  const { data } = reading.getImageData(0, 0, BLOCKS * 8, 1);
  let number = 0;
  for (let block = 0; block < BLOCKS; block += 1) {
    const light = data[(block * 8 + 4) * 4 + 1];
    if (light > 80 && light < 175) return void (window.watched.blurred += 1);
    if (light >= 175) number += 2 ** block;
  }
  const { numbers } = window.watched;
  if (numbers.at(-1) !== number) numbers.push(number);
}

function frame() {
  read();
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);
