import assert from "node:assert/strict";
import { test } from "node:test";
import { cues, srt, txt, vtt } from "../../../web/export.js";

/** Words of 400 ms each. @param {string} text @param {number} startMs */
function utterance(text, startMs) {
  const target = text.split(" ").map((word, i) => {
    return { text: `${i ? " " : ""}${word}`, startMs: startMs + 400 * i, endMs: startMs + 400 * i + 500 };
  });
  return { source: [], target };
}

const talk = [utterance("Guten Morgen, Berlin! Wie geht es dir?", 61_004.5), utterance("A < B & C", 3_700_000)];

test("text has one line an utterance, and none for those without words", () => {
  assert.equal(txt([...talk, utterance("", 0)], "target"), "Guten Morgen, Berlin! Wie geht es dir?\nA < B & C\n");
  assert.equal(txt(talk, "source"), "");
});

test("srt and vtt have the times and the marks of their formats", () => {
  assert.equal(
    srt(talk, "target"),
    `1
00:01:01,005 --> 00:01:02,205
Guten Morgen, Berlin!

2
00:01:02,205 --> 00:01:03,905
Wie geht es dir?

3
01:01:40,000 --> 01:01:42,100
A < B & C
`,
  );
  assert.match(vtt(talk, "target"), /^WEBVTT\n\n00:01:01\.005 --> 00:01:02\.205\nGuten Morgen, Berlin!\n\n/);
  assert.match(vtt(talk, "target"), /A &lt; B &amp; C\n$/);
  assert.equal(vtt([], "target"), "WEBVTT\n");
});

test("cues can be read: two short lines, in order, without overlap, every word once", () => {
  const words = Array.from({ length: 300 }, (_, i) => "ä".repeat(1 + ((i * 7) % 13)) + (i % 41 === 40 ? "." : ""));
  const text = words.join(" ");
  const made = cues([utterance(text, 500), utterance(text, 100_000)], "target");
  assert.equal(made.map((cue) => cue.text.replace("\n", " ")).join(" "), `${text} ${text}`);
  let before = 0;
  for (const { startMs, endMs, text } of made) {
    assert.ok(startMs >= before && endMs > startMs && endMs - startMs <= 6500, `${startMs} ${endMs}`);
    const lines = text.split("\n");
    assert.ok(lines.length <= 2 && lines.every((line) => line.length <= 50), text);
    before = endMs;
  }
  // One that is too short to be read stays as long as it may.
  assert.equal(cues([{ source: [], target: [{ text: "Ja.", startMs: 0, endMs: 100 }] }], "target")[0]?.endMs, 1000);
});
