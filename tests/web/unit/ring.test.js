import assert from "node:assert/strict";
import { test } from "node:test";
import { Ring } from "../../../web/ring.js";

/** @param {number} from @param {number} to */
const count = (from, to) => Int16Array.from({ length: to - from }, (_, i) => from + i);

test("what was pushed is read again, however often the ring goes round", () => {
  const ring = new Ring(10);
  for (let end = 0; end < 100; end += 3) {
    ring.push(count(end, end + 3));
    ring.release(ring.end - 7);
    assert.deepEqual(ring.read(ring.start, 100), count(ring.start, ring.end));
    assert.deepEqual(ring.read(ring.end - 2, 1), count(ring.end - 2, ring.end - 1));
  }
  assert.equal(ring.lostSamples, 0);
});

test("what does not fit is counted, and the newest is kept", () => {
  const ring = new Ring(10);
  ring.push(count(0, 8));
  ring.push(count(8, 14));
  assert.deepEqual([ring.start, ring.end, ring.lostSamples], [4, 14, 4]);
  assert.deepEqual(ring.read(4, 100), count(4, 14));
  ring.push(count(14, 39));
  assert.deepEqual([ring.start, ring.end, ring.lostSamples], [29, 39, 29]);
  assert.deepEqual(ring.read(29, 100), count(29, 39));
  assert.throws(() => ring.read(28, 1), RangeError);
});

test("nothing is released that has not come, and nothing comes back", () => {
  const ring = new Ring(10);
  ring.push(count(0, 5));
  ring.release(9);
  assert.equal(ring.start, 5);
  ring.release(2);
  assert.equal(ring.start, 5);
  assert.equal(ring.read(5, 3).length, 0);
});
