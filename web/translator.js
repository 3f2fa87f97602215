// A source of sound to captions: what the page and the overlay have in common, without any element of theirs.
// Invariant: one run at a time; `heed` is told of everything that changes.

import { Captions } from "./captions.js";
import { Connection } from "./connection.js";
import { Lag } from "./lag.js";
import { RATE_HZ, SAMPLES_PER_MS } from "./protocol.js";
import { Resampler, toPcm16 } from "./resample.js";
import { explain, findModel } from "./server.js";
import { openSource } from "./sources.js";
import { WakeLock } from "./wake-lock.js";

/** @import { Happening, State, World } from "./connection.js" */
/** @import { Fault } from "./faults.js" */
/** @import { Utterance } from "./captions.js" */
/** @import { Model } from "./server.js" */
/** @import { Source, Wish } from "./sources.js" */

/**
 * @typedef {{type: "changed", utterance: Utterance} | {type: "word", id: number, text: string} | {type: "fault", fault: Fault | null}
 *   | Extract<Happening, {type: "state" | "lost" | "utteranceEnd"}>} Change
 */

export class Translator {
  /** @param {string} server @param {(change: Change) => void} heed */
  constructor(server, heed) {
    this.server = server;
    this.heed = heed;
    this.key = "";
    this.captions = new Captions();
    this.lag = new Lag();
    this.wakeLock = new WakeLock();
    /** @type {Model | null} */
    this.model = null;
    /** @type {Connection | null} */
    this.connection = null;
    /** @type {Source | null} */
    this.source = null;
    /** Ends a start that is under way. @type {((fault: Fault | null) => void) | null} */
    this.cancel = null;
    /** Position of the first sample of this run in all that has been heard, in milliseconds. */
    this.offsetMs = 0;
    /** Number of the first utterance of this run, and of the next. */
    this.firstId = this.nextId = 0;
    /** @type {Resampler | null} */
    this.resampler = null;
  }

  /** How much has been heard, all runs together. */
  get heardMs() {
    return this.offsetMs + (this.connection?.ring.end ?? 0) / SAMPLES_PER_MS;
  }

  /** @returns {Promise<Fault | null>} why the model is not known */
  async findModel() {
    const found = await findModel(this.server, this.key);
    if ("kind" in found) return found;
    this.model = found;
    return null;
  }

  /**
   * To be called in a click. There is a `source` afterwards unless it failed, or was finished meanwhile.
   * @param {Wish} wish @param {number} k @returns {Promise<Fault | null>}
   */
  async start(wish, k) {
    const opening = this.open(wish).catch(() => /** @type {Fault} */ ({ kind: "unsupported" }));
    const source = await Promise.race([opening, new Promise((/** @type {(fault: Fault | null) => void} */ resolve) => (this.cancel = resolve))]);
    this.cancel = null;
    if (!source || "kind" in source) {
      // Permission may yet be given: too late.
      void opening.then((late) => void ("kind" in late || late.stop()));
      return source;
    }
    void this.wakeLock.hold();
    this.source = source;
    const resampler = new Resampler(source.rateHz, RATE_HZ);
    const options = { server: this.server, model: this.model?.name ?? "", key: this.key, k };
    const connection = new Connection(this.world(), options, (happening) => this.happened(happening));
    this.connection = connection;
    this.resampler = resampler;
    source.listen((samples) => connection.push(toPcm16(resampler.push(samples))));
    return null;
  }

  /** @param {Wish} wish @returns {Promise<Source | Fault>} */
  async open(wish) {
    const source = await openSource(wish, (fault) => void this.finish(fault), (fault) => this.heed({ type: "fault", fault }));
    const fault = "kind" in source || this.model ? null : await this.findModel();
    if (!fault || "kind" in source) return source;
    await source.stop();
    return fault;
  }

  /** No more sound; the rest of the text follows. @param {Fault} [fault] why there is no more */
  async finish(fault) {
    if (this.cancel) return this.cancel(fault ?? null);
    const { source, connection, resampler } = this;
    if (!source || !connection || !resampler) return;
    this.source = null;
    if (fault) this.heed({ type: "fault", fault });
    await source.stop();
    connection.push(toPcm16(resampler.finish()));
    connection.finish();
  }

  /** Ends at once. */
  abort() {
    this.connection?.stop();
  }

  /** Forgets all runs: the next one begins at zero. Only to be called between runs. */
  clear() {
    this.captions.clear();
    this.lag = new Lag();
    this.offsetMs = 0;
  }

  /** @param {number} k */
  setK(k) {
    this.connection?.setK(k);
  }

  /** @param {Happening} event */
  happened(event) {
    switch (event.type) {
      case "lag":
        this.lag.serverMs = event.lagMs;
        return;
      case "state":
        if (event.state === "ended") this.ended();
        this.heed(event);
        return;
      case "lost":
        this.heed(event);
        return;
    }
    const id = event.id + this.firstId;
    const utterance = this.note(event, id);
    if (utterance) this.heed({ type: "changed", utterance });
    if (event.type === "word") this.heed({ type: "word", id, text: event.text });
    if (event.type === "utteranceEnd") this.heed({ ...event, id });
  }

  /** @param {Exclude<Happening, {type: "state" | "lag" | "lost"}>} event @param {number} id */
  note(event, id) {
    const { captions, offsetMs } = this;
    switch (event.type) {
      case "utterance":
        this.nextId = id + 1;
        return captions.open(id, event.startMs + offsetMs);
      case "utteranceEnd":
        return captions.close(id, event.endMs + offsetMs);
      case "tentative":
        return captions.guess(id, event.text);
    }
    const word = { text: event.text, startMs: event.startMs + offsetMs, endMs: event.endMs + offsetMs };
    if (event.type === "word") this.lag.word(word, this.heardMs);
    return captions.add(id, event.type === "word" ? "target" : "source", word);
  }

  ended() {
    void this.source?.stop();
    this.source = null;
    void this.wakeLock.release();
    this.offsetMs = this.heardMs;
    this.firstId = this.nextId;
    this.connection = null;
    this.captions.closeAll();
    for (const utterance of this.captions.recent) this.heed({ type: "changed", utterance });
  }

  /** @returns {World} */
  world() {
    return {
      open: (url, protocols) => new WebSocket(url, protocols),
      explain: () => explain(this.server, this.key, this.model?.name ?? ""),
      now: () => performance.now(),
      random: Math.random,
      every(run, ms) {
        const timer = setInterval(run, ms);
        return () => clearInterval(timer);
      },
    };
  }
}
