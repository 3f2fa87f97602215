import assert from "node:assert/strict";
import { test } from "node:test";
import { Resampler, toPcm16 } from "../../../web/resample.js";

/** @param {number} hz @param {number} rate @param {number} length */
const sine = (hz, rate, length) => Float32Array.from({ length }, (_, i) => Math.sin((2 * Math.PI * hz * i) / rate));

/** @param {Float32Array} input @param {number} rate @param {(left: number) => number} size */
function resample(input, rate, size) {
  const resampler = new Resampler(rate, 16_000);
  /** @type {number[]} */
  const output = [];
  for (let at = 0; at < input.length; ) {
    const end = at + size(input.length - at);
    output.push(...resampler.push(input.subarray(at, end)));
    at = end;
  }
  return Float32Array.from([...output, ...resampler.finish()]);
}

/** Level of the middle of a signal, in dB of a full sine. @param {Float32Array} signal */
function level(signal) {
  const middle = signal.subarray(400, signal.length - 400);
  return 10 * Math.log10((2 * middle.reduce((sum, x) => sum + x * x, 0)) / middle.length + 1e-20);
}

const RATES = [8000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000];

test("any split gives the same output, of the right length", () => {
  for (const rate of RATES) {
    const input = Float32Array.from({ length: 5000 }, (_, i) => Math.sin(i * i * 0.001));
    const whole = resample(input, rate, (left) => left);
    assert.equal(whole.length, Math.ceil((input.length * 16_000) / rate), `${rate}`);
    let seed = 1;
    const odd = () => 1 + ((seed = (seed * 48_271) % 2_147_483_647) % 500);
    for (const size of [() => 1, () => 128, odd]) assert.deepEqual(resample(input, rate, size), whole, `${rate}`);
  }
});

test("speech passes unchanged, in place", () => {
  for (const rate of RATES) {
    for (const hz of [100, 1000, 3000, 6000].filter((hz) => hz < 0.4 * rate)) {
      const output = resample(sine(hz, rate, rate / 2), rate, (left) => left);
      const expected = sine(hz, 16_000, output.length);
      const error = output.map((x, i) => x - /** @type {number} */ (expected[i]));
      assert.ok(level(error) < -60, `${hz} Hz at ${rate} Hz: error of ${level(error)} dB`);
    }
  }
});

test("what the lower rate cannot hold is gone, not folded back", () => {
  for (const rate of [22_050, 44_100, 48_000, 96_000]) {
    for (const hz of [8200, 9000, 12_000, 20_000].filter((hz) => hz < rate / 2)) {
      const output = resample(sine(hz, rate, rate / 2), rate, (left) => left);
      assert.ok(level(output) < -70, `${hz} Hz at ${rate} Hz: ${level(output)} dB`);
    }
  }
});

test("no input, no output; a constant stays one; 16 bits clip", () => {
  assert.equal(new Resampler(48_000, 16_000).finish().length, 0);
  const output = resample(new Float32Array(9000).fill(0.5), 48_000, (left) => left);
  for (const x of output.subarray(100, 2900)) assert.ok(Math.abs(x - 0.5) < 1e-4);
  assert.deepEqual(toPcm16(Float32Array.of(0, 1, -1, 2, -2, 0.5)), Int16Array.of(0, 32767, -32767, 32767, -32767, 16384));
});
