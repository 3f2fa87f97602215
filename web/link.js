// One session on one socket: a stretch of the ring out, events in, with positions in the page's audio instead of the
// session's. Knows neither clock nor DOM. Invariant: nothing is released that would be needed to say the rest again.

import { SAMPLES_PER_MS, close, decode, ending, mark, transcribe } from "./protocol.js";

/** @import { Word } from "./captions.js" */
/** @import { Ring } from "./ring.js" */
/** @import { Ending, ServerEvent } from "./protocol.js" */

/** 100 ms: small enough to be no delay, large enough to be no load. */
const PIECE_SAMPLES = 1600;
/** `WebSocket.OPEN` */
const OPEN = 1;
/** The server is asked twice a second how far it is. */
const MARK_SAMPLES = 8000;
/** More than this waits in the ring, not in the browser, which would send it to a dead socket. */
const MAX_BUFFERED_BYTES = 64 << 10;
/** Where no utterance runs, this much before a mark may yet become the beginning of one (`proto/README.md`). */
const UNDECIDED_SAMPLES = 1000 * SAMPLES_PER_MS;

/**
 * What a page needs of a `WebSocket`.
 * @typedef {Pick<WebSocket, "send" | "close" | "readyState" | "bufferedAmount" | "onmessage" | "onclose">} Socket
 */

/**
 * An utterance that was cut off: what is there already comes a second time, maybe in other words.
 * @typedef {{id: number, shown: Word[], sourceEndMs: number}} Resume
 */

export class Link {
  /**
   * @param {Socket} socket not open yet
   * @param {Ring} ring
   * @param {number} from position of the first sample to send
   * @param {(event: ServerEvent | Ending) => void} heed is given positions in the page's audio; nothing follows an ending
   */
  constructor(socket, ring, from, heed) {
    this.socket = socket;
    this.ring = ring;
    this.from = from;
    this.to = Infinity;
    this.heed = heed;
    /** Position after the last sample that was sent, */
    this.sent = from;
    /** that the server has worked off, */
    this.processed = from;
    /** and that need not be sent again. */
    this.acknowledged = from;
    this.marked = from;
    this.opened = false;
    this.speaking = false;
    /** `session.close` has been sent; `closed` has come. */
    this.finishing = this.closed = false;
    this.error = "";
    socket.onmessage = ({ data }) => typeof data === "string" && this.receive(decode(data));
    socket.onclose = (frame) => heed(ending(frame, { closed: this.closed, message: this.error }));
  }

  /** Whether an answer is due. */
  get isWaiting() {
    return !this.opened || this.processed < this.marked || this.finishing;
  }

  /** The ring has given up samples that were still to be sent: this session cannot go on. */
  get isBroken() {
    return this.sent < this.ring.start;
  }

  /** Sends what is there, as far as the socket takes it. */
  pump() {
    const { ring, socket } = this;
    const isOpen = socket.readyState === OPEN && this.opened && !this.finishing;
    if (!isOpen || this.isBroken) return;
    const end = Math.min(ring.end, this.to);
    while (socket.bufferedAmount < MAX_BUFFERED_BYTES) {
      const length = Math.min(PIECE_SAMPLES, end - this.sent);
      // Less than a piece only at the very end.
      if (length <= 0 || (length < PIECE_SAMPLES && end < this.to)) break;
      const samples = ring.read(this.sent, length);
      // Little-endian, as the protocol and every machine that has a browser.
      socket.send(samples);
      this.sent += samples.length;
      if (this.sent - this.marked >= MARK_SAMPLES) this.sendMark();
    }
    if (this.sent >= this.to) {
      this.finishing = true;
      socket.send(close());
    }
  }

  sendMark() {
    this.marked = this.sent;
    this.socket.send(mark(this.sent - this.from));
  }

  /** The audio of this session ends at `to`; the rest of its text will still come. @param {number} to */
  finishAt(to) {
    this.to = Math.max(to, this.sent);
    this.pump();
  }

  /** Nothing more is wanted of it. */
  abandon() {
    this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
  }

  /** The rest is wanted of another one. */
  giveUp() {
    this.abandon();
    this.heed({ type: "ended", kind: "lost", message: "" });
  }

  /** @param {ServerEvent} event */
  receive(event) {
    const baseMs = this.from / SAMPLES_PER_MS;
    switch (event.type) {
      case "opened":
        this.opened = true;
        this.socket.send(transcribe(event.model));
        break;
      case "speechStarted":
        this.speaking = true;
        break;
      case "speechStopped":
        this.speaking = false;
        this.acknowledge(this.from + event.endMs * SAMPLES_PER_MS);
        break;
      case "marked":
        this.processed = this.from + event.mark;
        if (!this.speaking) this.acknowledge(this.processed - UNDECIDED_SAMPLES);
        break;
      case "closed":
        this.closed = true;
        this.acknowledge(this.to);
        break;
      case "error":
        this.error = event.message;
        break;
    }
    const placed = "startMs" in event ? { ...event, startMs: event.startMs + baseMs } : event;
    this.heed("endMs" in placed ? { ...placed, endMs: placed.endMs + baseMs } : placed);
    this.pump();
  }

  /** @param {number} position */
  acknowledge(position) {
    this.acknowledged = Math.max(this.acknowledged, Math.min(position, this.sent));
  }
}
