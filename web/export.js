// Utterances to files: plain text, SubRip (srt) and WebVTT. Pure. The rules are those of the server's recordings
// (`src/subtitles.rs`). Invariant: cues are in order, never overlap, last at least a millisecond, hold every word once.

import { textOf } from "./captions.js";

/** @import { Word } from "./captions.js" */
/** @typedef {{startMs: number, endMs: number, text: string}} Cue */
/** @typedef {{source: Word[], target: Word[]}[]} Utterances */
/** @typedef {"source" | "target"} Side */

/** Two lines of about 42 characters, as broadcasters have them. */
const MAX_LINE_CHARS = 42;
const MAX_CUE_CHARS = 2 * MAX_LINE_CHARS;
const MAX_CUE_MS = 6000;
/** Shorter cannot be read; taken only where the next cue leaves room. */
const MIN_CUE_MS = 1000;

/** One line an utterance. @param {Utterances} utterances @param {Side} side */
export function txt(utterances, side) {
  return utterances.map((utterance) => textOf(utterance[side])).filter(Boolean).map((line) => `${line}\n`).join("");
}

/** @param {Utterances} utterances @param {Side} side */
export function srt(utterances, side) {
  const blocks = cues(utterances, side).map(({ startMs, endMs, text }, i) => {
    return `${i + 1}\n${clock(startMs, ",")} --> ${clock(endMs, ",")}\n${text}\n`;
  });
  return blocks.join("\n");
}

/** @param {Utterances} utterances @param {Side} side */
export function vtt(utterances, side) {
  const blocks = cues(utterances, side).map(({ startMs, endMs, text }) => {
    const escaped = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
    return `\n${clock(startMs, ".")} --> ${clock(endMs, ".")}\n${escaped}\n`;
  });
  return `WEBVTT\n${blocks.join("")}`;
}

/**
 * A cue ends with its sentence or utterance, and before it gets too long to read or to show.
 * @param {Utterances} utterances @param {Side} side
 */
export function cues(utterances, side) {
  /** @type {Cue[]} */
  const cues = [];
  for (const utterance of utterances) {
    /** @type {Cue | null} the cue that may grow */
    let open = null;
    for (const { text, startMs, endMs } of utterance[side]) {
      const word = text.trim();
      if (word === "") continue;
      if (open && length(open.text) + 1 + length(word) <= MAX_CUE_CHARS && endMs - open.startMs <= MAX_CUE_MS) {
        open.text += ` ${word}`;
        open.endMs = Math.max(open.endMs, endMs);
      } else {
        open = { startMs, endMs, text: word };
        cues.push(open);
      }
      if (/[.!?…]$/.test(word)) open = null;
    }
  }
  return separate(cues);
}

/** Neighbouring words overlap: a cue goes when the next one comes. @param {Cue[]} cues */
function separate(cues) {
  let beginMs = 0;
  cues.forEach((cue, i) => {
    cue.startMs = Math.max(Math.round(cue.startMs), beginMs);
    const endMs = Math.max(Math.round(cue.endMs), cue.startMs + MIN_CUE_MS);
    cue.endMs = Math.max(cue.startMs + 1, Math.min(endMs, Math.round(cues[i + 1]?.startMs ?? Infinity)));
    cue.text = inTwoLines(cue.text);
    beginMs = cue.endMs;
  });
  return cues;
}

/** Breaks a text that is too long for one line at the space nearest to its middle. @param {string} text */
function inTwoLines(text) {
  if (length(text) <= MAX_LINE_CHARS) return text;
  const spaces = Array.from(text.matchAll(/ /g), ({ index }) => index);
  const far = (/** @type {number} */ at) => Math.abs(at - text.length / 2);
  const [at] = spaces.sort((a, b) => far(a) - far(b));
  return at === undefined ? text : `${text.slice(0, at)}\n${text.slice(at + 1)}`;
}

/** In characters, not in halves of them. @param {string} text */
function length(text) {
  return Array.from(text).length;
}

/** `01:02:03,004` @param {number} ms @param {"," | "."} point */
function clock(ms, point) {
  const pad = (/** @type {number} */ value, digits = 2) => String(Math.floor(value)).padStart(digits, "0");
  return `${pad(ms / 3_600_000)}:${pad((ms / 60_000) % 60)}:${pad((ms / 1000) % 60)}${point}${pad(ms % 1000, 3)}`;
}
