// The page's audio to text, over as many sessions as it takes. Knows no DOM; sockets and clock are handed in.
//
// The audio is cut into stretches, each served by one session at a time. Usually there is one, without an end. When `k`
// changes, it gets an end, its rest is still read, and a new one begins there. When a connection breaks, its stretch
// is begun anew at what was not acknowledged. Invariant: every sample of the ring belongs to exactly one stretch.

import { Link } from "./link.js";
import { RATE_HZ, SAMPLES_PER_MS, sessionUrl, subprotocols } from "./protocol.js";
import { Ring } from "./ring.js";

/** @import { Word } from "./captions.js" */
/** @import { Resume, Socket } from "./link.js" */
/** @import { Ending, ServerEvent } from "./protocol.js" */
/** @import { Fault } from "./faults.js" */

/** Two minutes, in 4 MB. Longer without a connection, and the oldest audio is lost, which is said. */
const RING_SAMPLES = 120_000 * SAMPLES_PER_MS;
const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 15_000;
/** Without any answer to what was asked: a socket may be dead for minutes before the browser says so. */
const SILENCE_MS = 12_000;
const TICK_MS = 250;
/** How often a server that is about to stop is asked whether another one has taken its place. */
const LEAVE_MS = 1000;
/** A server that is full this soon after a session of ours has ended has not noticed. */
const LEFT_MS = 3000;
/** As often in a row a socket that could be opened is not, and it is not by chance. */
const MAX_CHANCES = 2;

/**
 * What happens; positions are milliseconds of the page's audio.
 * @typedef {{type: "state", state: State, fault?: Fault, retryMs?: number}
 *   | {type: "utterance", id: number, startMs: number}
 *   | {type: "utteranceEnd", id: number, endMs: number}
 *   | {type: "source" | "word", id: number, text: string, startMs: number, endMs: number}
 *   | {type: "tentative", id: number, text: string}
 *   | {type: "lag", lagMs: number}
 *   | {type: "lost", lostMs: number}} Happening `lost`: all that is, in whole seconds
 * @typedef {"connecting" | "live" | "waiting" | "finishing" | "ended"} State
 * @typedef {{server: string, model: string, key: string, k: number}} Options
 * @typedef {{from: number, to: number, link: Link | null, resume: Resume | null, current: Running | null, delayMs: number,
 *   retryAt: number, heardAt: number, leaveAt: number}} Stretch
 * @typedef {Resume & {seenMs: number, startMs: number, at: number, held: Heard[]}} Running `seenMs`: the original up to here is
 *   there already; `at`: words of this session; `held`: what it has said while it is not known whether those are there too
 * @typedef {Extract<ServerEvent, {type: "source" | "word"}>} Heard
 */

/**
 * @typedef {object} World
 * @property {(url: string, protocols: string[]) => Socket} open
 * @property {() => Promise<Fault>} explain why a connection could not be opened, which a browser does not tell
 * @property {() => number} now milliseconds
 * @property {(run: () => void, ms: number) => () => void} every runs again and again; gives what stops it
 * @property {() => number} random from 0 to 1
 */

export class Connection {
  /** @param {World} world @param {Options} options @param {(happening: Happening) => void} heed */
  constructor(world, options, heed) {
    this.world = world;
    this.options = options;
    this.heed = heed;
    this.ring = new Ring(RING_SAMPLES);
    /** @type {Stretch[]} */
    this.stretches = [];
    this.utterances = 0;
    this.lostMs = 0;
    /** Sockets in a row that were not opened. */
    this.unopened = 0;
    /** When a session of ours last ended. */
    this.leftAt = -Infinity;
    /** @type {State} */
    this.state = "connecting";
    this.finishing = false;
    /** Why there is no connection. @type {Fault | undefined} */
    this.fault = undefined;
    /** The last state that was told. */
    this.shown = "";
    this.begin(0);
    this.stopClock = world.every(() => this.tick(), TICK_MS);
    this.tick();
  }

  /** More audio. @param {Int16Array} samples */
  push(samples) {
    this.ring.push(samples);
    const lostMs = 1000 * Math.ceil(this.ring.lostSamples / RATE_HZ);
    if (lostMs > this.lostMs) this.heed({ type: "lost", lostMs: (this.lostMs = lostMs) });
    for (const { link } of this.stretches) link?.pump();
  }

  /** A new lag: holds from the audio that comes next. @param {number} k */
  setK(k) {
    this.options = { ...this.options, k };
    this.handOver();
  }

  /** No more audio will come. The state `ended` follows once everything is said. */
  finish() {
    this.finishing = true;
    const last = this.stretches.at(-1);
    if (last) this.limit(last, this.ring.end);
    this.tick();
  }

  /** Ends at once; what has not been said is not said. @param {Fault} [fault] */
  stop(fault) {
    for (const { link } of this.stretches) link?.abandon();
    this.stretches = [];
    this.stopClock();
    this.setState("ended", fault);
  }

  /** @param {number} from @param {number} [to] @param {Resume | null} [resume] @param {number} [delayMs] */
  begin(from, to = Infinity, resume = null, delayMs = 0) {
    const { now, random } = this.world;
    // Not all at once when a server comes back.
    const retryAt = now() + delayMs * (0.5 + random() / 2);
    /** @type {Stretch} */
    const stretch = { from, to, link: null, resume, current: null, delayMs, retryAt, heardAt: now(), leaveAt: Infinity };
    this.stretches.push(stretch);
    this.stretches.sort((a, b) => a.from - b.from);
    return stretch;
  }

  /** @param {Stretch} stretch @param {number} to */
  limit(stretch, to) {
    stretch.to = to;
    stretch.link?.finishAt(to);
  }

  /** Ends the last stretch where sending has got to, and begins the next there. */
  handOver() {
    const last = this.stretches.at(-1);
    if (!last || this.finishing) return;
    if (!last.link?.opened) {
      // Nothing was sent: the new session takes its place.
      last.link?.abandon();
      last.link = null;
      return this.tick();
    }
    const at = last.link.sent;
    this.limit(last, at);
    this.begin(at);
    this.tick();
  }

  /** Hands over as soon as a server takes sessions again, which this one will not; until then it goes on. @param {Stretch} stretch */
  async leave(stretch) {
    stretch.leaveAt = Infinity;
    const { kind } = await this.world.explain();
    if (this.stretches.at(-1) !== stretch) return;
    if (kind === "upgrade") this.handOver();
    else stretch.leaveAt = this.world.now() + LEAVE_MS;
  }

  /** What is due: connections to open or to give up, audio to send. */
  tick() {
    if (this.state === "ended") return;
    const now = this.world.now();
    for (const stretch of [...this.stretches]) {
      const { link } = stretch;
      if (!link) {
        if (now >= stretch.retryAt) this.connect(stretch);
        continue;
      }
      if (!link.isWaiting) stretch.heardAt = now;
      if (link.isBroken || now - stretch.heardAt > SILENCE_MS) link.giveUp();
      else link.pump();
      if (now >= stretch.leaveAt) void this.leave(stretch);
    }
    this.release();
    if (this.stretches.length === 0) this.stop();
    else this.showState();
  }

  /** @param {Stretch} stretch */
  connect(stretch) {
    const { server, key, model, k } = this.options;
    stretch.from = Math.max(stretch.from, this.ring.start);
    stretch.heardAt = this.world.now();
    let socket;
    try {
      socket = this.world.open(sessionUrl(server, { model, k }), subprotocols(key));
    } catch {
      return this.stop({ kind: "badKey", retry: false });
    }
    const link = new Link(socket, this.ring, stretch.from, (event) => {
      stretch.heardAt = this.world.now();
      if (event.type === "ended") this.ended(stretch, link, event);
      else this.said(stretch, event);
    });
    stretch.link = link;
    if (stretch.to < Infinity) link.finishAt(stretch.to);
  }

  /** @param {Stretch} stretch @param {ServerEvent} event */
  said(stretch, event) {
    const { current } = stretch;
    switch (event.type) {
      case "opened":
        this.unopened = 0;
        break;
      case "marked":
        stretch.delayMs = 0;
        break;
      case "speechStarted":
        stretch.current = this.utterance(stretch.resume, event.startMs);
        stretch.resume = null;
        break;
      case "speechStopped":
        stretch.current = null;
        if (!current) break;
        this.goOn(current);
        this.heed({ type: "utteranceEnd", id: current.id, endMs: event.endMs });
        break;
      case "source":
      case "word":
        if (current) this.heard(current, event);
        break;
      case "tentative":
        if (current && current.at >= current.shown.length) this.heed({ ...event, id: current.id });
        break;
      case "lag":
        this.heed({ type: "lag", lagMs: event.lagMs });
        break;
      case "goAway":
        // With less, it closes before anybody could be asked.
        if (event.timeLeftMs > LEAVE_MS) stretch.leaveAt = this.world.now();
        break;
    }
    this.release();
    this.showState();
  }

  /** @param {Resume | null} resume @param {number} startMs @returns {Running} */
  utterance(resume, startMs) {
    const { id, shown, sourceEndMs } = resume ?? { id: this.utterances++, shown: [], sourceEndMs: -1 };
    if (!resume) this.heed({ type: "utterance", id, startMs });
    return { id, shown, sourceEndMs, seenMs: sourceEndMs, startMs, at: 0, held: [] };
  }

  /** @param {Running} current @param {Heard} event */
  heard(current, event) {
    const { at, shown, held } = current;
    if (at >= shown.length) return this.show(current, event);
    held.push(event);
    if (event.type === "source") return;
    if (bare(event) !== bare(/** @type {Word} */ (shown[at]))) return this.sayAnew(current);
    if (++current.at === shown.length) this.goOn(current);
  }

  /** @param {Running} current @param {Heard} event */
  show(current, event) {
    if (event.type === "word") current.at = current.shown.push(event);
    else if ((event.startMs + event.endMs) / 2 < current.seenMs) return;
    else current.sourceEndMs = Math.max(current.sourceEndMs, event.endMs);
    this.heed({ ...event, id: current.id });
  }

  /** The words are those that were there. @param {Running} current */
  goOn(current) {
    for (const event of current.held) if (event.type === "source") this.show(current, event);
    current.held = [];
  }

  /**
   * They are not, and a sentence of two halves that do not fit would say what nobody has said: the first is broken off, and
   * the whole is said once more. @param {Running} current
   */
  sayAnew(current) {
    const { id, startMs, held, shown } = current;
    const endMs = shown.at(-1)?.endMs ?? startMs;
    this.heed({ type: "word", id, text: " …", startMs: endMs, endMs });
    this.heed({ type: "utteranceEnd", id, endMs });
    Object.assign(current, this.utterance(null, startMs));
    for (const event of held) this.show(current, event);
  }

  /** @param {Stretch} stretch @param {Link} link @param {Ending} ending */
  ended(stretch, link, ending) {
    if (stretch.link !== link) return;
    this.stretches.splice(this.stretches.indexOf(stretch), 1);
    if (ending.kind === "failed") return this.stop({ kind: "failed", message: ending.message });
    const isDone = ending.kind === "finished" || link.acknowledged >= stretch.to;
    if (isDone) {
      // Its place is free in a moment.
      this.leftAt = this.world.now();
      for (const other of this.stretches) {
        other.delayMs = 0;
        other.retryAt = Math.min(other.retryAt, this.leftAt + FIRST_DELAY_MS);
      }
    } else {
      const { current } = stretch;
      const delayMs = Math.min(MAX_DELAY_MS, Math.max(FIRST_DELAY_MS, 2 * stretch.delayMs));
      const next = this.begin(link.acknowledged, stretch.to, current ?? stretch.resume, delayMs);
      if (!link.opened) {
        this.unopened++;
        void this.explain(next);
      }
    }
    this.tick();
  }

  /** Asks why, and waits longer or gives up accordingly. @param {Stretch} stretch */
  async explain(stretch) {
    const fault = await this.world.explain();
    if (this.state === "ended" || stretch.link) return;
    if (fault.retry === false) return this.stop(fault);
    const isOurs = this.stretches.some(({ link }) => link?.opened) || this.world.now() < this.leftAt + LEFT_MS;
    if (fault.kind === "full" && isOurs) return;
    // What was in the way may be gone already.
    this.fault = fault.kind === "upgrade" && this.unopened <= MAX_CHANCES ? undefined : fault;
    stretch.retryAt = Math.max(stretch.retryAt, this.world.now() + (fault.retryMs ?? 0));
    this.showState();
  }

  release() {
    const needed = this.stretches.map(({ link, from }) => link?.acknowledged ?? from);
    this.ring.release(Math.min(this.ring.end, ...needed));
  }

  showState() {
    const last = this.stretches.at(-1);
    if (!last || this.state === "ended") return;
    const waiting = this.stretches.find(({ link, retryAt }) => !link && retryAt > this.world.now());
    if (last.link?.opened) this.fault = undefined;
    if (this.finishing && !waiting) this.setState("finishing");
    else if (waiting) this.setState("waiting", this.fault, waiting.retryAt - this.world.now());
    else this.setState(last.link?.opened ? "live" : "connecting");
  }

  /** @param {State} state @param {Fault} [fault] @param {number} [retryMs] */
  setState(state, fault, retryMs) {
    const shown = `${state} ${fault?.kind ?? ""} ${retryMs === undefined ? "" : Math.ceil(retryMs / 1000)}`;
    if (shown === this.shown) return;
    this.shown = shown;
    this.state = state;
    this.heed({ type: "state", state, ...(fault && { fault }), ...(retryMs !== undefined && { retryMs }) });
  }
}

/** A word without what a second hearing may change and no reader minds. @param {{text: string}} word */
function bare({ text }) {
  return text.toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, "");
}
