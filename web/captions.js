// Events to utterances: source and target words with the speech that they render. Pure.
// Invariant: a word never changes once it is there. The newest utterances are kept as words, older ones packed.

/**
 * Times are milliseconds of the page's audio. `text` has the white space that goes before it.
 * @typedef {{text: string, startMs: number, endMs: number}} Word
 * @typedef {{id: number, startMs: number, endMs: number, source: Word[], target: Word[], tail: string, done: boolean}} Utterance
 * @typedef {{text: string, times: Uint32Array}} Packed
 */

/** Utterances that stay on the page. */
export const MAX_RECENT = 30;
/** About ten hours of speech, in some 10 MB. */
const MAX_ARCHIVED_WORDS = 200_000;

export class Captions {
  constructor() {
    /** In the order in which they were spoken. @type {Utterance[]} */
    this.recent = [];
    /** @type {{id: number, startMs: number, endMs: number, source: Packed, target: Packed, words: number}[]} */
    this.archive = [];
    this.archivedWords = 0;
    /** Utterances that were given up because of their number. */
    this.dropped = 0;
  }

  /** @param {number} id @param {number} startMs @returns {Utterance} */
  open(id, startMs) {
    /** @type {Utterance} */
    const utterance = { id, startMs, endMs: startMs, source: [], target: [], tail: "", done: false };
    // What is left of one session may come while the next has begun.
    const after = this.recent.findLastIndex((other) => other.startMs <= startMs);
    this.recent.splice(after + 1, 0, utterance);
    if (this.recent.length > MAX_RECENT) this.pack(/** @type {Utterance} */ (this.recent.shift()));
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

  /** @param {Utterance} utterance */
  pack({ id, startMs, endMs, source, target }) {
    const words = source.length + target.length;
    this.archive.push({ id, startMs, endMs, source: packed(source), target: packed(target), words });
    this.archivedWords += words;
    while (this.archivedWords > MAX_ARCHIVED_WORDS) {
      this.archivedWords -= this.archive.shift()?.words ?? 0;
      this.dropped++;
    }
  }

  /** Forgets everything. */
  clear() {
    this.recent.length = this.archive.length = this.archivedWords = this.dropped = 0;
  }

  /** Everything that was said, oldest first. @returns {Generator<{startMs: number, source: Word[], target: Word[]}>} */
  *all() {
    for (const { startMs, source, target } of this.archive) {
      yield { startMs, source: unpacked(source), target: unpacked(target) };
    }
    yield* this.recent;
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

/** @param {Word[]} words @returns {Packed} */
function packed(words) {
  const times = Uint32Array.from(words.flatMap(({ startMs, endMs }) => [startMs, endMs]));
  return { text: words.map(({ text }) => text.replaceAll("\n", " ")).join("\n"), times };
}

/** @param {Packed} packed @returns {Word[]} */
function unpacked({ text, times }) {
  if (times.length === 0) return [];
  const time = (/** @type {number} */ i) => times[i] ?? 0;
  return text.split("\n").map((text, i) => ({ text, startMs: time(2 * i), endMs: time(2 * i + 1) }));
}

/** Words as one text. @param {Word[]} words */
export function textOf(words) {
  return words.map(({ text }) => text).join("").trim();
}
