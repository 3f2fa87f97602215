// Samples to samples that can be read again: what the server has not acknowledged. Pure.
// Positions count all samples since the first one. Invariant: never more than `maxSamples` are held, and what had to make
// room without having been acknowledged is counted in `lostSamples`.

export class Ring {
  /** @param {number} maxSamples */
  constructor(maxSamples) {
    this.samples = new Int16Array(maxSamples);
    /** Position of the oldest sample that is held. */
    this.start = 0;
    /** Position after the newest. */
    this.end = 0;
    this.lostSamples = 0;
  }

  /** @param {Int16Array} samples any number */
  push(samples) {
    const max = this.samples.length;
    for (const sample of samples) this.samples[this.end++ % max] = sample;
    const overflow = Math.max(0, this.end - this.start - max);
    this.start += overflow;
    this.lostSamples += overflow;
  }

  /**
   * A copy of the samples from `from` on, at most `count`; empty if there are none yet.
   * @param {number} from not before `start`
   * @param {number} count
   */
  read(from, count) {
    if (from < this.start) throw new RangeError(`position ${from} is gone, the oldest held is ${this.start}`);
    const length = Math.max(0, Math.min(count, this.end - from));
    return Int16Array.from({ length }, (_, i) => this.samples[(from + i) % this.samples.length] ?? 0);
  }

  /** Forgets what comes before `position`. @param {number} position */
  release(position) {
    this.start = Math.max(this.start, Math.min(position, this.end));
  }
}
