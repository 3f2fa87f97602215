// Positions over time to the lag meter: how far listening has got, and how far the translation. Pure.
// Invariant: at most `MAX_POINTS` points are held, none older than `WINDOW_MS`.

export const WINDOW_MS = 15_000;
const MAX_POINTS = 240;
/** Words whose lag makes the number that is shown: one word says little. */
const MAX_WORDS = 8;

/** @typedef {{atMs: number, heardMs: number, saidMs: number}} Point */

export class Lag {
  constructor() {
    /** @type {Point[]} */
    this.points = [];
    /** Speech that has been translated, up to here. */
    this.saidMs = 0;
    /** @type {number[]} */
    this.lags = [];
    /** The server's part: from the audio that decided a word until the word was sent. */
    this.serverMs = 0;
  }

  /**
   * A word has come. Its lag counts from the beginning of the speech that it renders, as in `decalage stream`.
   * @param {{startMs: number, endMs: number}} span of that speech @param {number} heardMs how much had been heard by now
   */
  word({ startMs, endMs }, heardMs) {
    this.saidMs = Math.max(this.saidMs, endMs);
    this.lags = [...this.lags, Math.max(0, heardMs - startMs)].slice(-MAX_WORDS);
  }

  /** @param {number} atMs by the clock @param {number} heardMs */
  sample(atMs, heardMs) {
    this.points.push({ atMs, heardMs, saidMs: Math.min(this.saidMs, heardMs) });
    const oldest = this.points.findIndex((point) => point.atMs >= atMs - WINDOW_MS);
    this.points.splice(0, Math.max(oldest, this.points.length - MAX_POINTS));
  }

  /** Median lag of the last words in milliseconds; `null` before the first. */
  get lagMs() {
    const sorted = [...this.lags].sort((a, b) => a - b);
    return sorted[sorted.length >> 1] ?? null;
  }
}
