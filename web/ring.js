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
    const overflow = this.end + samples.length - this.start - max;
    if (overflow > 0) {
      this.start += overflow;
      this.lostSamples += overflow;
    }
    const kept = samples.length > max ? samples.subarray(samples.length - max) : samples;
    const at = (this.end + samples.length - kept.length) % max;
    const head = kept.subarray(0, max - at);
    this.samples.set(head, at);
    this.samples.set(kept.subarray(head.length), 0);
    this.end += samples.length;
  }

  /**
   * A copy of the samples from `from` on, at most `count`; empty if there are none yet.
   * @param {number} from not before `start`
   * @param {number} count
   */
  read(from, count) {
    if (from < this.start) throw new RangeError(`position ${from} is gone, the oldest held is ${this.start}`);
    const max = this.samples.length;
    const length = Math.max(0, Math.min(count, this.end - from));
    const at = from % max;
    const copy = new Int16Array(length);
    const head = this.samples.subarray(at, Math.min(max, at + length));
    copy.set(head);
    copy.set(this.samples.subarray(0, length - head.length), head.length);
    return copy;
  }

  /** Forgets what comes before `position`. @param {number} position */
  release(position) {
    this.start = Math.max(this.start, Math.min(position, this.end));
  }
}
