// Samples at any rate to samples at another one: a windowed-sinc polyphase filter whose state survives block borders. Pure.
// Invariant: any split of the input gives the same output, and n samples give ⌈n · to / from⌉.

/** Zero crossings on each side. With the window below: 80 dB down at the border, flat up to 85 % of it. */
const CROSSINGS = 32;
/** Kaiser's β for a stop band of 80 dB (Kaiser 1974, eq. 17: 0.1102 (A - 8.7)). */
const BETA = 7.857;
/** Where the filter is 6 dB down, as a part of the lower rate's half, so that the stop band begins at the border. */
const CUTOFF = 0.92;

export class Resampler {
  /** @param {number} fromHz @param {number} toHz whole numbers */
  constructor(fromHz, toHz) {
    const divisor = gcd(fromHz, toHz);
    /** Output sample n is at input position n · down / up. */
    this.up = toHz / divisor;
    this.down = fromHz / divisor;
    const narrowing = Math.min(1, toHz / fromHz) * CUTOFF;
    this.half = Math.ceil(CROSSINGS / narrowing);
    this.filters = phases(this.up, this.half, narrowing);
    /** Input that is still needed; begins with silence, so that the first output is centred on the first input. */
    this.held = new Float32Array(this.half - 1);
    /** Position in `held`, times `up`, of the first tap of the next output. */
    this.next = 0;
    this.inputSamples = 0;
    this.outputSamples = 0;
  }

  /**
   * All output that can be computed now.
   * @param {Float32Array} input any number of samples
   * @returns {Float32Array}
   */
  push(input) {
    this.inputSamples += input.length;
    return this.run(input, Infinity);
  }

  /** The rest, as if silence followed. Nothing may be pushed afterwards. */
  finish() {
    const total = Math.ceil((this.inputSamples * this.up) / this.down);
    return this.run(new Float32Array(2 * this.half + this.down), total - this.outputSamples);
  }

  /** @param {Float32Array} input @param {number} limit most samples to give */
  run(input, limit) {
    const { up, down, half, filters } = this;
    const all = new Float32Array(this.held.length + input.length);
    all.set(this.held);
    all.set(input, this.held.length);
    const taps = 2 * half;
    const possible = Math.floor(((all.length - taps + 1) * up - 1 - this.next) / down) + 1;
    const output = new Float32Array(Math.max(0, Math.min(limit, possible)));
    for (let n = 0; n < output.length; n++) {
      const first = Math.floor(this.next / up);
      const filter = /** @type {Float32Array} */ (filters[this.next % up]);
      let sum = 0;
      for (let i = 0; i < taps; i++) sum += /** @type {number} */ (all[first + i]) * /** @type {number} */ (filter[i]);
      output[n] = sum;
      this.next += down;
    }
    const done = Math.min(all.length, Math.floor(this.next / up));
    this.held = all.slice(done);
    this.next -= done * up;
    this.outputSamples += output.length;
    return output;
  }
}

/**
 * One filter for each of the `up` positions that an output can have between two inputs; each passes 0 Hz unchanged.
 * @param {number} up @param {number} half @param {number} narrowing
 */
function phases(up, half, narrowing) {
  return Array.from({ length: up }, (_, phase) => {
    const filter = Float64Array.from({ length: 2 * half }, (_, i) => {
      const distance = i - (half - 1) - phase / up;
      const edge = distance / half;
      return Math.abs(edge) < 1 ? sinc(distance * narrowing) * bessel(BETA * Math.sqrt(1 - edge * edge)) : 0;
    });
    const sum = filter.reduce((sum, tap) => sum + tap, 0);
    return Float32Array.from(filter, (tap) => tap / sum);
  });
}

/** @param {number} x */
function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** Modified Bessel function of the first kind, order 0, by its series. @param {number} x */
function bessel(x) {
  let sum = 1;
  for (let term = 1, k = 1; term > 1e-12 * sum; k++) {
    term *= (x / 2 / k) ** 2;
    sum += term;
  }
  return sum;
}

/** @param {number} a @param {number} b @returns {number} */
function gcd(a, b) {
  return b === 0 ? a : gcd(b, a % b);
}

/** To 16 bits, clipped. @param {Float32Array} samples within [-1, 1] */
export function toPcm16(samples) {
  return Int16Array.from(samples, (sample) => Math.round(Math.max(-1, Math.min(1, sample)) * 32767));
}
