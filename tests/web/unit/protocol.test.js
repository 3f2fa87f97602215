// The recorded conversations of `proto/fixtures`, read as the page reads them.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { close, decode, ending, mark, sessionUrl, subprotocols, transcribe } from "../../../web/protocol.js";

/** Whether `whole` has all that `part` has. @param {any} whole @param {any} part @returns {boolean} */
function contains(whole, part) {
  if (typeof part !== "object") return whole === part;
  return Object.entries(part).every(([name, value]) => whole?.[name] !== undefined && contains(whole[name], value));
}

const folder = new URL("../../../proto/fixtures/", import.meta.url);
const fixtures = readdirSync(folder)
  .filter((name) => name.startsWith("realtime-"))
  .map((name) => {
    const lines = readFileSync(new URL(name, folder), "utf8").trim().split("\n");
    return { name, steps: lines.map((line) => JSON.parse(line)) };
  })
  .filter(({ steps }) => steps[0].query.input_format !== "text"); // the page speaks
const said = fixtures.flatMap(({ steps }) => steps).filter(({ from, text }) => from === "server" && text);

test("every message of the server's is understood", () => {
  assert.ok(said.length > 50);
  for (const { text } of said) {
    const event = decode(JSON.stringify(text));
    assert.notEqual(event.type, "unknown", JSON.stringify(text));
    // Nothing that was said is lost on the way.
    for (const value of Object.values(event)) assert.notEqual(value, undefined, JSON.stringify(event));
  }
  assert.equal(decode('{"type":"session.something_new"}').type, "unknown");
});

test("a conversation says what its fixture says", () => {
  const { steps } = fixtures.find(({ name }) => name === "realtime-extensions.jsonl");
  const events = steps.filter(({ from, text }) => from === "server" && text).map(({ text }) => decode(JSON.stringify(text)));
  assert.deepEqual(events.slice(1, 6), [
    { type: "speechStarted", startMs: 320 },
    { type: "tentative", text: "Guten Mor" },
    { type: "word", text: "Guten", startMs: 320, endMs: 640 },
    { type: "lag", lagMs: 110 },
    { type: "speechStopped", startMs: 320, endMs: 1500 },
  ]);
  assert.deepEqual(events[0], { type: "opened", model: "en-de-small" });
});

test("every end is told apart, as the table of the protocol has it", () => {
  const ends = fixtures.map(({ name, steps }) => {
    const texts = steps.filter(({ from, text }) => from === "server" && text).map(({ text }) => text);
    const last = texts.at(-1);
    const frame = { reason: steps.at(-1).reason };
    const message = last.type === "error" ? last.error.message : "";
    const { kind } = ending(frame, { closed: last.type === "session.closed", message });
    return [name.slice("realtime-".length, -".jsonl".length), kind];
  });
  assert.deepEqual(Object.fromEntries(ends), {
    conversation: "finished",
    "draining-notice": "lost",
    draining: "lost",
    errors: "finished",
    expired: "lost",
    extensions: "finished",
    idle: "lost",
    internal: "lost",
    "invalid-message": "failed",
    mark: "finished",
    "opt-in": "finished",
    "slow-reader": "lost",
    "too-large": "failed",
    transcription: "finished",
    undecodable: "failed",
    "unsupported-data": "failed",
  });
  assert.equal(ending({ reason: "" }, { closed: false, message: "" }).kind, "lost", "without a word");
});

test("what the page says is what clients say in the fixtures", () => {
  const heard = fixtures.flatMap(({ steps }) => steps.filter(({ from, text, invalid }) => from === "client" && text && !invalid));
  const has = (/** @type {string} */ message) => {
    return heard.some(({ text: { event_id, ...text } }) => JSON.stringify(text) === JSON.stringify(JSON.parse(message)));
  };
  assert.ok(has(close()));
  assert.ok(has(mark(16000)));
  // An update may say more than the page does, but what the page says is in one.
  const ours = JSON.parse(transcribe("whisper-1"));
  assert.ok(heard.some(({ text }) => contains(text, ours)));
});

test("a session's address and key", () => {
  const url = new URL(sessionUrl("https://host:1/page?x", { model: "a b", k: 4 }));
  assert.equal(url.origin + url.pathname, "wss://host:1/v1/realtime/translations");
  const query = { model: "a b", input_format: "pcm16", rate: "16000", k: "4", ext: "lag,vad,tentative,go_away" };
  assert.deepEqual(Object.fromEntries(url.searchParams), query);
  assert.match(sessionUrl("http://host", { model: "m", k: 1 }), /^ws:\/\/host\/v1/);
  assert.deepEqual(subprotocols("sk-1"), ["realtime", "openai-insecure-api-key.sk-1"]);
  assert.deepEqual(subprotocols(""), ["realtime"]);
});
