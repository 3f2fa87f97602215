// Sound and lag to small pictures. Invariant: what is drawn is bounded and follows the colours of the page; where less
// motion is wanted, nothing moves more than twice a second.

import { WINDOW_MS } from "./lag.js";

/** @import { Lag } from "./lag.js" */

const SLOW_MS = 500;
const PLOT_MS = 125;
/** Bars of the waveform, a new one each 50 ms. */
const BARS = 64;
const BAR_MS = 50;
/** Quieter than this is drawn as silence. */
const FLOOR_DB = -60;

/** Calls `draw` with the time in milliseconds, as often as is good for the visitor. @param {(now: number) => void} draw */
export function animate(draw) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let last = 0;
  /** @param {number} now */
  const frame = (now) => {
    if (!calm.matches || now - last >= SLOW_MS) {
      last = now;
      draw(now);
    }
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

/** The level of the last seconds, as bars. */
export class Waveform {
  /** @param {HTMLCanvasElement} canvas @param {HTMLMeterElement} meter the same for those who cannot see it */
  constructor(canvas, meter) {
    this.canvas = canvas;
    this.meter = meter;
    /** @type {number[]} */
    this.levels = new Array(BARS).fill(0);
    this.peak = 0;
    this.barAt = 0;
    this.buffer = new Float32Array(1024);
  }

  /** @param {AnalyserNode | undefined} analyser @param {number} now */
  draw(analyser, now) {
    if (analyser) {
      analyser.getFloatTimeDomainData(this.buffer);
      const power = this.buffer.reduce((sum, sample) => sum + sample * sample, 0) / this.buffer.length;
      const level = Math.max(0, 1 - (10 * Math.log10(power + 1e-12)) / FLOOR_DB);
      this.peak = Math.max(this.peak, Math.min(1, level));
    }
    const isStill = !analyser && this.barAt > 0 && this.levels.every((level) => level === 0);
    if (now - this.barAt < BAR_MS || isStill) return;
    this.barAt = now;
    this.levels = [...this.levels, this.peak].slice(-BARS);
    this.meter.value = this.peak;
    this.peak = 0;
    const { context, width, height } = fit(this.canvas);
    context.fillStyle = colour(this.canvas, "--accent");
    const step = width / BARS;
    this.levels.forEach((level, i) => {
      const tall = Math.max(2, level * level * height);
      const x = width - (this.levels.length - i) * step;
      context.beginPath();
      context.roundRect(x, (height - tall) / 2, step * 0.6, tall, step * 0.3);
      context.fill();
    });
  }
}

/** Two lines over the last seconds: how far was heard, how far was translated. Between them is the lag. */
export class LagPlot {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.drawnAt = 0;
  }

  /** @param {Lag} lag @param {number} now @param {number} heardMs @param {boolean} live */
  draw(lag, now, heardMs, live) {
    if (!live || now - this.drawnAt < PLOT_MS) return;
    this.drawnAt = now;
    lag.sample(now, heardMs);
    const { context, width, height } = fit(this.canvas);
    const { points } = lag;
    const x = (/** @type {number} */ atMs) => width * (1 - (now - atMs) / WINDOW_MS);
    const y = (/** @type {number} */ ms) => Math.min(height - 2, 2 + ((heardMs - ms) / WINDOW_MS) * (height - 4));
    const line = (/** @type {"heardMs" | "saidMs"} */ key) => points.map((p) => /** @type {const} */ ([x(p.atMs), y(p[key])]));
    const [heard, said] = [line("heardMs"), line("saidMs")];
    context.beginPath();
    for (const [px, py] of [...heard, ...said.toReversed()]) context.lineTo(px, py);
    context.globalAlpha = 0.18;
    context.fillStyle = colour(this.canvas, "--accent");
    context.fill();
    context.globalAlpha = 1;
    this.stroke(context, heard, "--muted");
    this.stroke(context, said, "--accent");
  }

  /** @param {CanvasRenderingContext2D} context @param {(readonly [number, number])[]} line @param {string} name */
  stroke(context, line, name) {
    context.beginPath();
    for (const [x, y] of line) context.lineTo(x, y);
    context.strokeStyle = colour(this.canvas, name);
    context.lineWidth = 1.75;
    context.stroke();
  }
}

/** An empty canvas in the pixels of the screen. @param {HTMLCanvasElement} canvas */
function fit(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = devicePixelRatio || 1;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const size = { width: Math.round(width * scale), height: Math.round(height * scale) };
  if (canvas.width !== size.width || canvas.height !== size.height) Object.assign(canvas, size);
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** @param {Element} element @param {string} name */
function colour(element, name) {
  return getComputedStyle(element).getPropertyValue(name).trim();
}
