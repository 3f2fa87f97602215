import assert from "node:assert/strict";
import { test } from "node:test";
import { Captions, MAX_RECENT, textOf } from "../../../web/captions.js";
import { Lag } from "../../../web/lag.js";
import { Phrases } from "../../../web/phrases.js";

/** @param {string} text @param {number} startMs */
const word = (text, startMs, endMs = startMs + 300) => ({ text, startMs, endMs });

test("words are added behind others, and a guess gives way to what it guessed", () => {
  const captions = new Captions();
  captions.open(0, 100);
  captions.add(0, "source", word("good", 100));
  captions.guess(0, "Guten Morgen, Ber");
  captions.add(0, "target", word("Guten", 100));
  assert.equal(captions.find(0)?.tail, "Morgen, Ber");
  captions.add(0, "target", word(" Tag,", 400));
  assert.equal(captions.find(0)?.tail, "");
  captions.guess(0, "Berl");
  const closed = captions.close(0, 900);
  assert.deepEqual([closed?.tail, closed?.done, closed?.endMs], ["", true, 900]);
  assert.equal(textOf(closed?.target ?? []), "Guten Tag,");
});

test("hours of speech are kept whole, though few utterances still grow", () => {
  const captions = new Captions();
  const count = 3000;
  for (let id = 0; id < count; id++) {
    captions.open(id, 1000 * id);
    captions.add(id, "source", word(`w${id}`, 1000 * id));
    captions.add(id, "target", word(` W${id}`, 1000 * id, 1000 * id + 7));
  }
  assert.equal(captions.recent.length, MAX_RECENT);
  assert.equal(captions.all.length, count);
  const { source, target } = captions.all[5] ?? {};
  assert.deepEqual({ source, target }, { source: [word("w5", 5000)], target: [word(" W5", 5000, 5007)] });
  assert.equal(captions.add(5, "target", word(" late", 9000)), undefined);
  assert.equal(captions.dropped, 0);
});

test("what is held is bounded, also where nothing is said, and what was given up is counted", () => {
  const captions = new Captions();
  for (let id = 0; id < 2100; id++) {
    captions.open(id, id);
    for (let i = 0; i < 99; i++) captions.add(id, "target", word(" x", i));
  }
  assert.equal(captions.dropped, 2100 - 2000);
  for (let id = 2100; id < 2100 + 200_000; id++) captions.open(id, id);
  assert.equal(captions.all.length, 200_000);
  captions.clear();
  assert.deepEqual([captions.all.length, captions.words, captions.dropped], [0, 0, 0]);
});

test("the rest of one session goes before the next session's beginning", () => {
  const captions = new Captions();
  captions.open(0, 0);
  captions.open(2, 5000);
  captions.open(1, 4000);
  assert.deepEqual(captions.recent.map(({ id }) => id), [0, 1, 2]);
});

test("a screen reader is given phrases, and every word once", () => {
  const phrases = new Phrases();
  const words = ["Guten", " Morgen,", " wie", " geht's,", " mein", " Freund?", " Gut"];
  assert.deepEqual(words.map((word) => phrases.add(0, word)).filter(Boolean), ["Guten Morgen, wie geht's,", "mein Freund?"]);
  phrases.add(1, "Nein");
  assert.deepEqual([phrases.end(0), phrases.end(0), phrases.end(1)], ["Gut", "", "Nein"]);
});

test("the lag is the middle of the last words', and its plot is bounded", () => {
  const lag = new Lag();
  assert.equal(lag.lagMs, null);
  for (const [startMs, endMs, heardMs] of [[500, 1000, 3000], [900, 1500, 2500], [1000, 2000, 9000]]) {
    lag.word({ startMs: Number(startMs), endMs: Number(endMs) }, Number(heardMs));
  }
  assert.equal(lag.lagMs, 2500);
  for (let at = 0; at < 100_000; at += 10) lag.sample(at, at);
  assert.equal(lag.points.length, 240);
  lag.sample(200_000, 150_000);
  assert.deepEqual(lag.points, [{ atMs: 200_000, heardMs: 150_000, saidMs: 2000 }]);
});
