/** Losses of a running training as a curve: single steps thin, their fading mean strong. */

const SMOOTH = 0.95;
const RECENT = 20; // steps, as in the server's line of text
const UNKNOWN = undefined;

export class Losses {
  constructor() {
    this.values = [];
  }

  /** first: the step, from 1, of the first of these losses. False if there are steps whose loss is not known. */
  add(first, losses) {
    while (this.values.length < first - 1) this.values.push(UNKNOWN);
    losses.forEach((loss, i) => { this.values[first - 1 + i] = loss ?? NaN; });
    return !this.values.includes(UNKNOWN);
  }

  /** {mean, of}: the mean of the latest losses, and of how many; NaN where none is known. */
  recent() {
    const latest = this.values.slice(-RECENT).filter(Number.isFinite);
    return { mean: latest.reduce((sum, loss) => sum + loss, 0) / latest.length, of: latest.length };
  }

  /** The mean so far at each step, in which older losses fade. */
  smoothed() {
    let mean = 0;
    let weight = 0;
    return this.values.map((loss) => {
      if (Number.isFinite(loss)) {
        mean = SMOOTH * mean + (1 - SMOOTH) * loss;
        weight = SMOOTH * weight + 1 - SMOOTH;
      }
      return weight ? mean / weight : NaN;
    });
  }
}

/** Draws on a canvas of the size it has on the page; steps: how many there will be. */
export function drawCurve(canvas, losses, steps, colours) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width || !height) return;
  Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const smoothed = losses.smoothed();
  const [low, high] = range(losses.values);
  const x = (step) => (width * step) / Math.max(1, steps - 1);
  const y = (value) => height - 3 - ((height - 6) * (value - low)) / (high - low);
  trace(pen, losses.values, x, y, colours.thin, 1);
  trace(pen, smoothed, x, y, colours.strong, 2);
}

/** Where most of the losses lie, so that one spike does not flatten the rest. */
function range(values) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (!sorted.length) return [0, 1];
  const low = sorted[0];
  const high = sorted[Math.floor(0.98 * (sorted.length - 1))];
  return high > low ? [low, high + 0.05 * (high - low)] : [low - 0.5, low + 0.5];
}

function trace(pen, values, x, y, colour, width) {
  const every = Math.max(1, Math.floor(values.length / 2000));
  pen.beginPath();
  let drawing = false;
  for (let step = 0; step < values.length; step += every) {
    if (!Number.isFinite(values[step])) drawing = false;
    else if (drawing) pen.lineTo(x(step), Math.max(0, y(values[step])));
    else {
      pen.moveTo(x(step), Math.max(0, y(values[step])));
      drawing = true;
    }
  }
  Object.assign(pen, { strokeStyle: colour, lineWidth: width, lineJoin: "round" });
  pen.stroke();
}
