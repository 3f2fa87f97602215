// Words to phrases for a screen reader: it should read whole thoughts, not every word as it comes. Pure.
// Invariant: every word is read once, at the latest when its utterance ends.

/** After a comma a phrase is read only if it is long enough to be one. */
const MIN_WORDS = 4;

export class Phrases {
  constructor() {
    /** @type {Map<number, string[]>} */
    this.open = new Map();
  }

  /**
   * The phrase that this word ends, if it ends one.
   * @param {number} id of the utterance @param {string} text
   */
  add(id, text) {
    const words = [...(this.open.get(id) ?? []), text.trim()];
    this.open.set(id, words);
    const isSentence = /[.!?…]$/.test(text);
    const isClause = /[,;:–]$/.test(text) && words.length >= MIN_WORDS;
    return isSentence || isClause ? this.end(id) : "";
  }

  /** What is left of an utterance; empty if nothing. @param {number} id */
  end(id) {
    const words = this.open.get(id) ?? [];
    this.open.delete(id);
    return words.join(" ");
  }
}
