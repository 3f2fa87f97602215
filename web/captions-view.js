// Utterances to elements. Invariant: words are only ever added behind others, and the page holds as many utterances as
// `Captions` keeps; what a visitor has scrolled to stays where it is.

import { MAX_RECENT } from "./captions.js";

/** @import { Utterance, Word } from "./captions.js" */

/** As near to the end as this, and the newest words are followed. */
const FOLLOW_PX = 96;

export class CaptionsView {
  /** @param {HTMLElement} scroller @param {HTMLElement} list */
  constructor(scroller, list) {
    this.scroller = scroller;
    this.list = list;
    this.languages = { source: "", target: "" };
    /** The newest words are in sight, and shall stay so. */
    this.follows = true;
    scroller.addEventListener("scroll", () => {
      this.follows = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < FOLLOW_PX;
    });
    new ResizeObserver(() => this.follow()).observe(scroller);
    /** @type {Map<number, {item: HTMLElement, source: HTMLElement, target: HTMLElement, tail: HTMLElement}>} */
    this.rows = new Map();
    list.addEventListener("pointerover", (event) => this.pair(event.target));
    list.addEventListener("pointerleave", () => this.pair(null));
  }

  /** @param {Utterance} utterance @param {Utterance[]} recent all that are kept */
  show(utterance, recent) {
    const row = this.rows.get(utterance.id) ?? this.create(utterance, recent);
    grow(row.source, utterance.source, null);
    grow(row.target, utterance.target, row.tail);
    const tail = utterance.tail && utterance.target.length > 0 ? ` ${utterance.tail}` : utterance.tail;
    if (row.tail.textContent !== tail) row.tail.textContent = tail;
    row.item.classList.toggle("done", utterance.done);
    // An utterance without a word was a noise.
    row.item.hidden = utterance.source.length + utterance.target.length === 0 && !tail;
    this.follow();
  }

  /** Forgets everything. */
  clear() {
    this.rows.clear();
    this.list.replaceChildren();
  }

  follow() {
    if (this.follows) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  /** @param {Utterance} utterance @param {Utterance[]} recent */
  create(utterance, recent) {
    const item = element("li", "utterance");
    const time = element("time", "time");
    time.textContent = clock(utterance.startMs);
    const source = element("p", "source");
    source.lang = this.languages.source;
    const target = element("p", "target");
    target.lang = this.languages.target;
    const tail = element("span", "tail");
    tail.setAttribute("aria-hidden", "true");
    target.append(tail);
    item.append(time, source, target);
    const row = { item, source, target, tail };
    this.rows.set(utterance.id, row);
    const next = recent[recent.indexOf(utterance) + 1];
    this.list.insertBefore(item, (next && this.rows.get(next.id)?.item) ?? null);
    for (const [id, { item }] of this.rows) {
      if (this.rows.size <= MAX_RECENT) break;
      item.remove();
      this.rows.delete(id);
    }
    return row;
  }

  /** Marks a word and what it renders, or what renders it. @param {EventTarget | null} target */
  pair(target) {
    for (const word of this.list.querySelectorAll(".paired")) word.classList.remove("paired");
    if (!(target instanceof HTMLElement) || !target.classList.contains("word")) return;
    const { start, end } = span(target);
    target.classList.add("paired");
    const other = target.parentElement?.classList.contains("source") ? ".target .word" : ".source .word";
    for (const word of target.closest("li")?.querySelectorAll(other) ?? []) {
      const its = span(/** @type {HTMLElement} */ (word));
      if (its.start < end && start < its.end) word.classList.add("paired");
    }
  }
}

/** @param {HTMLElement} line @param {Word[]} words @param {HTMLElement | null} before */
function grow(line, words, before) {
  for (const { text, startMs, endMs } of words.slice(line.querySelectorAll(".word").length)) {
    const word = element("span", "word");
    word.dataset.start = String(startMs);
    word.dataset.end = String(endMs);
    word.title = `${(startMs / 1000).toFixed(1)} – ${(endMs / 1000).toFixed(1)} s`;
    // The first word of a line has nothing before it.
    word.textContent = line.querySelector(".word") ? text : text.trimStart();
    line.insertBefore(word, before);
  }
}

/** @param {HTMLElement} word */
function span({ dataset }) {
  return { start: Number(dataset.start), end: Number(dataset.end) };
}

/** @param {string} name @param {string} className */
function element(name, className) {
  const made = document.createElement(name);
  made.className = className;
  return made;
}

/** `1:02:03` or `2:03` @param {number} ms */
export function clock(ms) {
  const seconds = Math.floor(ms / 1000);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  return shown.map((part, i) => (i ? String(part).padStart(2, "0") : String(part))).join(":");
}
