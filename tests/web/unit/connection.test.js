// Connections that break, hand over and end, against a server that hears and a clock that is turned by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Connection } from "../../../web/connection.js";

const SECOND = 16_000;

/** A websocket and the server behind it, which takes what it is sent and says what the test wants. */
class FakeSocket {
  /** @param {string} url */
  constructor(url) {
    this.url = new URL(url);
    /** @type {number[]} */
    this.audio = [];
    /** @type {any[]} */
    this.messages = [];
    this.bufferedAmount = 0;
    this.isClosed = false;
    this.readyState = 1;
    /** @type {any} */
    this.onmessage = this.onclose = null;
  }

  /** @param {any} data */
  send(data) {
    if (typeof data === "string") this.messages.push(JSON.parse(data));
    else this.audio.push(...data);
  }

  close() {
    this.isClosed = true;
  }

  /** @param {string} type @param {object} [fields] */
  say(type, fields = {}) {
    this.onmessage?.({ data: JSON.stringify({ type, ...fields }) });
  }

  open() {
    this.say("session.created", { session: { id: "s", model: "m", source_language: "en", audio: { output: { language: "de" } } } });
  }

  /** @param {string} delta @param {number} at */
  word(delta, at) {
    this.say("session.output_transcript.delta", { delta, src_start_ms: at, src_end_ms: at + 300 });
  }

  /** @param {string} delta @param {number} at */
  original(delta, at) {
    this.say("session.input_transcript.delta", { delta, src_start_ms: at, src_end_ms: at + 300 });
  }

  markAll() {
    for (const { type, mark } of this.messages) if (type === "session.mark") this.say("session.marked", { mark });
  }

  /** @param {number} code @param {string} [reason] */
  end(code, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }

  /** Everything is said. */
  finish() {
    this.say("session.closed");
    this.end(1000);
  }

  get isFinishing() {
    return this.messages.some(({ type }) => type === "session.close");
  }
}

/** @param {import("../../../web/faults.js").Fault} [fault] why connections fail */
function start(fault = { kind: "network" }) {
  const why = { fault };
  /** @type {FakeSocket[]} */
  const sockets = [];
  /** @type {any[]} */
  const happenings = [];
  let now = 0;
  let tick = () => {};
  const world = {
    open: (/** @type {string} */ url) => /** @type {any} */ (sockets[sockets.push(new FakeSocket(url)) - 1]),
    explain: async () => why.fault,
    now: () => now,
    random: () => 1,
    every: (/** @type {() => void} */ run) => {
      tick = run;
      return () => (tick = () => {});
    },
  };
  const options = { server: "http://host", model: "m", key: "", k: 3 };
  const connection = new Connection(world, options, (happening) => happenings.push(happening));
  let sent = 0;
  return {
    why,
    connection,
    sockets,
    happenings,
    /** @param {number} seconds of audio whose samples count up */
    push(seconds) {
      const samples = Int16Array.from({ length: seconds * SECOND }, (_, i) => (sent + i) % 30_000);
      sent += samples.length;
      connection.push(samples);
    },
    /** @param {number} ms */
    wait(ms) {
      for (const end = now + ms; now < end; now += 250) tick();
    },
    states: () => happenings.filter(({ type }) => type === "state").map(({ state }) => state),
    words: () => happenings.filter(({ type }) => type === "word").map(({ id, text, startMs }) => `${id}${text}@${startMs}`),
    /** Samples from position `from` to `to` @param {number} from @param {number} to */
    audio: (from, to) => Array.from({ length: to - from }, (_, i) => (from + i) % 30_000),
  };
}

/** @template T @param {T | undefined} value @returns {T} */
function some(value) {
  assert.ok(value !== undefined);
  return value;
}

test("audio that comes before the session is open is sent, in whole pieces, and the rest at the end", () => {
  const { connection, sockets, push, audio, states } = start();
  push(0.25);
  const socket = some(sockets[0]);
  assert.equal(socket.audio.length, 0);
  socket.open();
  assert.deepEqual(socket.audio, audio(0, 3200));
  assert.deepEqual(socket.messages[0].session.audio.input, { transcription: { model: "m" } });
  connection.finish();
  assert.deepEqual(socket.audio, audio(0, 4000));
  assert.ok(socket.isFinishing);
  socket.finish();
  assert.deepEqual(states(), ["connecting", "live", "finishing", "ended"]);
});

test("after a broken connection the unfinished utterance is sent again, and its words are not shown twice", () => {
  const { connection, sockets, push, wait, audio, words, states } = start();
  const first = some(sockets[0]);
  first.open();
  push(4);
  first.say("session.speech_started", { start_ms: 500 });
  first.word("Ja.", 500);
  first.say("session.speech_stopped", { start_ms: 500, end_ms: 1500 });
  first.say("session.speech_started", { start_ms: 2000 });
  first.word(" Guten", 2000);
  first.word(" Morgen", 2300);
  first.end(1006);
  push(1);
  wait(500);
  assert.equal(sockets.length, 1, "not at once");
  wait(500);
  const second = some(sockets[1]);
  second.open();
  // From the end of the finished utterance on.
  assert.deepEqual(second.audio, audio(1.5 * SECOND, 5 * SECOND));
  second.say("session.speech_started", { start_ms: 500 });
  for (const [word, at] of [["Guten", 500], [" Morgen", 800], [" Berlin", 1100]]) second.word(String(word), Number(at));
  second.say("session.speech_stopped", { start_ms: 500, end_ms: 2000 });
  second.say("session.speech_started", { start_ms: 2100 });
  second.word(" Gut.", 2100);
  assert.deepEqual(words(), ["0Ja.@500", "1 Guten@2000", "1 Morgen@2300", "1 Berlin@2600", "2 Gut.@3600"]);
  connection.finish();
  second.finish();
  assert.deepEqual(states().filter((state) => state !== "connecting"), ["live", "waiting", "live", "finishing", "ended"]);
});

test("what is worded otherwise when it is sent again is said anew, as one sentence, and the first is broken off", () => {
  const { sockets, push, wait, words, happenings } = start();
  const first = some(sockets[0]);
  first.open();
  push(4);
  first.say("session.speech_started", { start_ms: 500 });
  first.original(" he", 500);
  first.original(" watches", 900);
  for (const [i, word] of ["Er", " sieht", " jeden"].entries()) first.word(word, 500 + 400 * i);
  first.end(1006);
  wait(1000);
  const second = some(sockets[1]);
  second.open();
  second.say("session.speech_started", { start_ms: 500 });
  second.original(" he", 500);
  second.word("Er", 500);
  second.say("session.tentative.delta", { text: "guckt" });
  assert.equal(words().length, 3, "not yet known whether it goes on");
  second.original(" watches", 900);
  second.word(" guckt", 900);
  second.word(" fern.", 1300);
  assert.deepEqual(words().slice(3), ["0 …@1600", "1Er@500", "1 guckt@900", "1 fern.@1300"]);
  const source = happenings.filter(({ type }) => type === "source").map(({ id, text }) => `${id}${text}`);
  assert.deepEqual(source, ["0 he", "0 watches", "1 he", "1 watches"]);
  assert.deepEqual(happenings.filter(({ type }) => type === "utteranceEnd").map(({ id }) => id), [0]);
  assert.ok(happenings.every(({ type }) => type !== "tentative"));
});

test("the original goes on where it was in time, however many words it has now", () => {
  const { sockets, push, wait, words, happenings } = start();
  const said = (/** @type {number} */ index, /** @type {[string, number][]} */ original, /** @type {string[]} */ target) => {
    const socket = some(sockets[index]);
    socket.open();
    socket.say("session.speech_started", { start_ms: 500 });
    for (const [word, at] of original) socket.original(word, at);
    for (const [i, word] of target.entries()) socket.word(word, 500 + i);
    return socket;
  };
  push(4);
  said(0, [[" it", 500]], []).end(1006);
  wait(1000);
  said(1, [[" it", 500], [" is", 800], [" late", 1100]], ["Es", " ist", " spät,"]).end(1006);
  wait(2000);
  const second = said(2, [[" it's", 550], [" late", 1100], [" now", 1400]], ["es", " ist", " spät", " jetzt"]);
  second.say("session.speech_stopped", { start_ms: 500, end_ms: 2000 });
  assert.deepEqual(words(), ["0Es@500", "0 ist@501", "0 spät,@502", "0 jetzt@503"]);
  assert.equal(happenings.flatMap(({ type, text }) => (type === "source" ? [text] : [])).join(""), " it is late now");
});

test("a second break within the same utterance still shows nothing twice", () => {
  const { sockets, push, wait, words } = start();
  const cut = (/** @type {number} */ index, /** @type {string[]} */ said) => {
    const socket = some(sockets[index]);
    socket.open();
    socket.say("session.speech_started", { start_ms: 100 });
    said.forEach((word, i) => socket.word(word, 100 + i));
    socket.end(1006);
    wait(3000);
  };
  push(2);
  cut(0, ["a", "b", "c"]);
  cut(1, ["a"]);
  cut(2, ["a", "b", "c", "d"]);
  assert.deepEqual(words(), ["0a@100", "0b@101", "0c@102", "0d@103"]);
});

test("in silence only the last second is kept", () => {
  const { connection, sockets, push } = start();
  const socket = some(sockets[0]);
  socket.open();
  push(30);
  assert.equal(connection.ring.start, 0);
  socket.markAll();
  assert.equal(connection.ring.start, 29 * SECOND);
  socket.say("session.speech_started", { start_ms: 29_500 });
  push(5);
  socket.markAll();
  assert.equal(connection.ring.start, 29 * SECOND);
});

test("a new k holds from the next audio on, and what was said before is still read", () => {
  const { connection, sockets, push, audio, words, states } = start();
  const old = some(sockets[0]);
  old.open();
  push(2);
  old.say("session.speech_started", { start_ms: 500 });
  connection.setK(5);
  assert.ok(old.isFinishing);
  const next = some(sockets[1]);
  assert.equal(next.url.searchParams.get("k"), "5");
  push(1);
  next.open();
  assert.deepEqual(old.audio, audio(0, 2 * SECOND));
  assert.deepEqual(next.audio, audio(2 * SECOND, 3 * SECOND));
  next.say("session.speech_started", { start_ms: 0 });
  next.word("neu", 0);
  old.word("alt", 600);
  old.say("session.speech_stopped", { start_ms: 500, end_ms: 2000 });
  assert.deepEqual(words(), ["1neu@2000", "0alt@600"]);
  old.finish();
  assert.equal(states().at(-1), "live");
  connection.finish();
  next.finish();
  assert.equal(states().at(-1), "ended");
});

test("what an old session did not say before it broke is said by another, up to where the new one began", () => {
  const { connection, sockets, push, wait, audio } = start();
  some(sockets[0]).open();
  push(2);
  connection.setK(5);
  some(sockets[1]).open();
  push(1);
  some(sockets[0]).end(1006);
  wait(2000);
  const repair = some(sockets[2]);
  repair.open();
  assert.deepEqual(repair.audio, audio(0, 2 * SECOND));
  assert.ok(repair.isFinishing);
  assert.deepEqual(some(sockets[1]).audio, audio(2 * SECOND, 3 * SECOND));
});

test("a server that stops is left for another one", () => {
  const { sockets, push, wait, audio } = start();
  const first = some(sockets[0]);
  first.open();
  push(3);
  first.say("session.speech_started", { start_ms: 500 });
  first.say("session.speech_stopped", { start_ms: 500, end_ms: 2000 });
  first.say("session.go_away", { time_left_ms: 0 });
  first.end(1001, "draining");
  wait(1000);
  some(sockets[1]).open();
  assert.deepEqual(some(sockets[1]).audio, audio(2 * SECOND, 3 * SECOND));
});

test("a connection without an answer is given up, also while it is being opened", () => {
  const { sockets, push, wait } = start();
  wait(13_000);
  assert.ok(some(sockets[0]).isClosed);
  wait(1000);
  const second = some(sockets[1]);
  second.open();
  push(1);
  wait(13_000);
  assert.ok(second.isClosed);
  wait(2000);
  const third = some(sockets[2]);
  third.open();
  third.markAll();
  const silent = sockets.length;
  wait(60_000);
  assert.equal(sockets.length, silent, "nothing was asked, so no answer is due");
});

test("delays grow, and what the server asks for is kept", async () => {
  const { sockets, wait, states, happenings } = start({ kind: "full", retryMs: 5000 });
  /** @type {number[]} */
  const delays = [];
  for (let attempt = 0; attempt < 7; attempt++) {
    some(sockets.at(-1)).end(1006);
    await Promise.resolve();
    let waited = 0;
    for (const before = sockets.length; sockets.length === before; waited += 250) wait(250);
    delays.push(waited);
  }
  assert.deepEqual(delays.map((ms) => Math.round(ms / 1000)), [5, 5, 5, 5, 8, 15, 15]);
  assert.ok(happenings.some(({ fault }) => fault?.kind === "full"));
  assert.ok(states().every((state) => state !== "live"));
});

test("without a connection for too long the oldest audio is lost, and that is said", () => {
  const { sockets, push, wait, happenings } = start();
  for (let i = 0; i < 13; i++) push(10);
  const lost = () => happenings.filter(({ type }) => type === "lost").map(({ lostMs }) => lostMs);
  assert.deepEqual(lost(), [10_000]);
  for (let i = 0; i < 64; i++) push(1 / 32);
  assert.deepEqual(lost(), [10_000, 11_000, 12_000], "all that is lost, once a second");
  some(sockets[0]).end(1006);
  wait(1000);
  const next = some(sockets[1]);
  next.bufferedAmount = 0;
  next.open();
  assert.equal(next.audio.length, 120 * SECOND);
});

test("sockets that never open though the server would take them are held up in between", async () => {
  const { sockets, wait, happenings } = start({ kind: "upgrade" });
  const told = async () => {
    some(sockets.at(-1)).end(1006);
    await Promise.resolve();
    for (const before = sockets.length; sockets.length === before; ) wait(250);
    return happenings.findLast(({ state }) => state === "waiting").fault?.kind;
  };
  assert.deepEqual([await told(), await told(), await told()], [undefined, undefined, "upgrade"]);
  some(sockets.at(-1)).open();
  await told();
  assert.equal(await told(), undefined, "once one was open, it is by chance");
});

test("a new k on a full server waits for the place of the old session, and no longer", async () => {
  const { connection, sockets, push, wait, happenings, audio } = start({ kind: "full", retryMs: 5000 });
  some(sockets[0]).open();
  push(2);
  connection.setK(5);
  some(sockets[1]).end(1006);
  await Promise.resolve();
  push(1);
  wait(5000);
  some(sockets.at(-1)).end(1006);
  await Promise.resolve();
  some(sockets[0]).finish();
  const before = sockets.length;
  wait(750);
  assert.equal(sockets.length, before + 1, "at once, though the delay had grown");
  // The server may still be busy with the end of the old one.
  some(sockets.at(-1)).end(1006);
  await Promise.resolve();
  wait(1250);
  some(sockets.at(-1)).open();
  assert.deepEqual(some(sockets.at(-1)).audio, audio(2 * SECOND, 3 * SECOND));
  assert.ok(happenings.every(({ fault }) => !fault), "nothing is wrong");
});

test("a server that is about to stop is left when another one takes sessions, and used until then", async () => {
  const { why, sockets, push, wait, audio } = start({ kind: "stopping", retryMs: 5000 });
  const first = some(sockets[0]);
  first.open();
  push(1);
  first.say("session.go_away", { time_left_ms: 20_000 });
  for (let second = 0; second < 3; second++) {
    wait(1000);
    await Promise.resolve();
    push(1);
  }
  assert.equal(sockets.length, 1);
  assert.deepEqual(first.audio, audio(0, 4 * SECOND));
  why.fault = { kind: "upgrade" };
  wait(1250);
  await Promise.resolve();
  assert.ok(first.isFinishing);
  push(1);
  some(sockets[1]).open();
  assert.deepEqual(some(sockets[1]).audio, audio(4 * SECOND, 5 * SECOND));
});

test("a server that stops before another one has come is waited for", async () => {
  const { sockets, push, wait, audio } = start({ kind: "stopping" });
  const first = some(sockets[0]);
  first.open();
  first.say("session.go_away", { time_left_ms: 20_000 });
  push(1);
  wait(250);
  first.end(1001, "draining");
  await Promise.resolve();
  wait(1000);
  some(sockets[1]).open();
  assert.deepEqual(some(sockets[1]).audio, audio(0, SECOND));
  wait(5000);
  assert.equal(sockets.length, 2);
});

test("a refusal that will not change ends it, with its reason", async () => {
  const { sockets, happenings, wait } = start({ kind: "key", retry: false });
  some(sockets[0]).end(1006);
  await Promise.resolve();
  assert.deepEqual(happenings.at(-1), { type: "state", state: "ended", fault: { kind: "key", retry: false } });
  wait(60_000);
  assert.equal(sockets.length, 1);
});

test("what must not be sent again ends it", () => {
  const { sockets, happenings } = start();
  const socket = some(sockets[0]);
  socket.open();
  socket.say("error", { error: { code: "undecodable_audio", message: "no audio" } });
  socket.end(1003, "undecodable_audio");
  assert.deepEqual(happenings.at(-1).fault, { kind: "failed", message: "no audio" });
});

test("no more is handed to a socket than it takes", () => {
  const { sockets, push } = start();
  const socket = some(sockets[0]);
  socket.open();
  socket.bufferedAmount = 64 << 10;
  push(10);
  assert.equal(socket.audio.length, 0);
});
