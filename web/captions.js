// Events to utterances: source and target words with the speech that they render. Pure.
// Invariant: a word never changes once it is there; only the newest utterances grow.

/**
 * Times are milliseconds of the page's audio. `text` has the white space that goes before it.
 * @typedef {{text: string, startMs: number, endMs: number}} Word
 * @typedef {{id: number, startMs: number, endMs: number, source: Word[], target: Word[], tail: string, done: boolean}} Utterance
 */

/** Utterances that stay on the page. */
export const MAX_RECENT = 30;
/** Of both sides: about ten hours of speech. */
const MAX_WORDS = 200_000;

export class Captions {
  constructor() {
    /** In the order in which they were spoken. @type {Utterance[]} */
    this.all = [];
    /** How many are held. */
    this.words = 0;
    /** Utterances that were given up to make room. */
    this.dropped = 0;
  }

  /** Those that may still grow. */
  get recent() {
    return this.all.slice(-MAX_RECENT);
  }

  /** @param {number} id @param {number} startMs @returns {Utterance} */
  open(id, startMs) {
    /** @type {Utterance} */
    const utterance = { id, startMs, endMs: startMs, source: [], target: [], tail: "", done: false };
    // What is left of one session may come while the next has begun.
    const after = this.all.findLastIndex((other) => other.startMs <= startMs);
    this.all.splice(after + 1, 0, utterance);
    // Counts as a word itself: one that is a noise has none.
    for (this.words++; this.words > MAX_WORDS; this.dropped++) {
      const { source, target } = /** @type {Utterance} */ (this.all.shift());
      this.words -= 1 + source.length + target.length;
    }
    return utterance;
  }

  /** @param {number} id */
  find(id) {
    return this.recent.find((utterance) => utterance.id === id);
  }

  /** @param {number} id @param {"source" | "target"} side @param {Word} word */
  add(id, side, word) {
    const utterance = this.find(id);
    if (!utterance) return undefined;
    utterance[side].push(word);
    utterance.endMs = Math.max(utterance.endMs, word.endMs);
    if (side === "target") utterance.tail = tailAfter(utterance.tail, word.text);
    this.words++;
    return utterance;
  }

  /** How it may go on. @param {number} id @param {string} tail */
  guess(id, tail) {
    const utterance = this.find(id);
    if (utterance) utterance.tail = tail;
    return utterance;
  }

  /** @param {number} id @param {number} endMs */
  close(id, endMs) {
    const utterance = this.find(id);
    if (utterance) Object.assign(utterance, { endMs: Math.max(utterance.endMs, endMs), tail: "", done: true });
    return utterance;
  }

  /** No more will come: guesses are void. */
  closeAll() {
    for (const utterance of this.recent) Object.assign(utterance, { tail: "", done: true });
  }

  /** Forgets everything. */
  clear() {
    this.all.length = this.words = this.dropped = 0;
  }
}

/**
 * What is left of a guess when a word has come: its rest if the word was guessed, so that it need not flicker.
 * @param {string} tail @param {string} word
 */
function tailAfter(tail, word) {
  const guess = tail.trimStart();
  const said = word.trim();
  return guess.startsWith(said) && /^\s/.test(guess.slice(said.length)) ? guess.slice(said.length).trimStart() : "";
}

/** Words as one text. @param {Word[]} words */
export function textOf(words) {
  return words.map(({ text }) => text).join("").trim();
}
