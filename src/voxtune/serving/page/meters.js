// How loud both sides are: a bar each for now, and a picture of the last seconds.

const SECONDS = 20; // across the picture
const BARS = 200;
const FLOOR = -60; // dB

/** dB of full scale, at least FLOOR. */
export function level(waveform) {
  const power = waveform.reduce((sum, sample) => sum + sample * sample, 0) / waveform.length;
  return Math.max(FLOOR, 10 * Math.log10(power + 1e-12));
}

/** 0 for silence to 1 for full scale. */
function share(decibels) {
  return 1 - decibels / FLOOR;
}

/** A bar that jumps up and falls slowly. */
export class Meter {
  #element;
  #shown = FLOOR;

  constructor(element) {
    this.#element = element;
  }

  show(decibels) {
    this.#shown = Math.max(decibels, this.#shown - 1.5);
    this.#element.firstElementChild.style.transform = `scaleX(${share(this.#shown)})`;
  }

  /** Tell assistive technology, which should not hear of every jump. */
  announce() {
    this.#element.setAttribute("aria-valuenow", Math.round(this.#shown));
  }
}

/** Two lanes that move to the left: above the model, below the one who talks with it. */
export class Timeline {
  #canvas;
  #levels = Array.from({ length: BARS }, () => [FLOOR, FLOOR]);
  #time = 0;

  constructor(canvas) {
    this.#canvas = canvas;
  }

  clear() {
    this.#levels.forEach((pair) => pair.fill(FLOOR));
    this.#time = 0;
    this.draw();
  }

  /** Add a chunk of this many seconds. */
  push(said, heard, seconds) {
    this.#time += seconds;
    const pair = this.#levels.at(-1);
    pair[0] = Math.max(pair[0], said);
    pair[1] = Math.max(pair[1], heard);
    if (this.#time < SECONDS / BARS) return;
    this.#time -= SECONDS / BARS;
    this.#levels.shift();
    this.#levels.push([FLOOR, FLOOR]);
    this.draw();
  }

  draw() {
    const canvas = this.#canvas;
    const style = getComputedStyle(canvas);
    const ratio = window.devicePixelRatio;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = style.getPropertyValue("--line");
    for (let second = 0; second <= SECONDS; second += 5) pen.fillRect((second / SECONDS) * (width - 1), 0, 1, height);
    const [bar, lane] = [width / BARS, height / 2];
    ["--model", "--you"].forEach((colour, side) => {
      pen.fillStyle = style.getPropertyValue(colour);
      this.#levels.forEach((pair, index) => {
        const tall = Math.max(1, share(pair[side]) * (lane - 6));
        pen.fillRect(index * bar, lane * (side + 0.5) - tall / 2, bar * 0.7, tall);
      });
    });
  }
}
