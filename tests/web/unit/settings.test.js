import assert from "node:assert/strict";
import { test } from "node:test";
import { WORDS, mediaFault, refusal, words } from "../../../web/faults.js";
import { parse } from "../../../web/overlay-options.js";
import { findModel } from "../../../web/server.js";
import { DEFAULTS, explainK, load, save, storage, valid } from "../../../web/settings.js";

test("settings come back, and damaged ones are replaced", () => {
  let stored = "";
  const store = { getItem: () => stored, setItem: (/** @type {string} */ _, /** @type {string} */ text) => void (stored = text) };
  const mine = { ...DEFAULTS, k: 7, original: false, deviceId: "abc" };
  save(store, mine);
  assert.deepEqual(load(store), mine);
  stored = "{";
  assert.deepEqual(load(store), DEFAULTS);
  assert.deepEqual(valid({ k: 99, size: 1.5, contrast: "yes", deviceId: 4, key: "sk" }), DEFAULTS);
  const full = { getItem: () => { throw new Error(); }, setItem: () => { throw new Error(); } };
  save(full, mine);
  assert.deepEqual(load(full), DEFAULTS);
  Object.defineProperty(globalThis, "localStorage", { get: () => { throw new Error("even to look is forbidden"); }, configurable: true });
  save(storage("localStorage"), mine);
  assert.deepEqual(load(storage("localStorage")), DEFAULTS);
});

test("a key that no websocket can carry is refused before anybody is asked", async () => {
  const kind = async (/** @type {string} */ key) => {
    const found = await findModel("http://127.0.0.1:1", key);
    return "kind" in found && found.kind;
  };
  for (const key of ["c2VjcmV0Cg==", "a b", "a/b", "clé"]) assert.equal(await kind(key), "badKey", key);
  for (const key of ["", "sk-1", "ek_a.B~c!"]) assert.equal(await kind(key), "unreachable", key);
});

test("the overlay's address is held to what is allowed", () => {
  const options = parse(new URLSearchParams("source=tab&k=5&lines=3&size=64&colour=ffcc00&background=000000aa&align=left&text=original"));
  assert.deepEqual(options, {
    source: "tab", device: "", k: 5, lines: 3, size: 64, colour: "#ffcc00", outline: "#000",
    background: "#000000aa", align: "left", side: "source",
  });
  const wrong = parse(new URLSearchParams("source=radio&k=0&lines=&size=9999&colour=red;x:url(y)&align=up"));
  assert.deepEqual(wrong, parse(new URLSearchParams()));
});

test("the slider says what k means", () => {
  assert.match(explainK(3), /^Listens to 1\.0 s of speech before the first word/);
  assert.notEqual(explainK(1), explainK(9));
});

test("every refusal has words, and says whether to try again", () => {
  const of = (/** @type {number} */ status, message = "", retryAfterS = 0) => refusal({ status, message, retryAfterS });
  assert.deepEqual(of(401), { kind: "key", retry: false, message: "" });
  assert.equal(of(403).retry, false);
  assert.deepEqual(of(503, "all 2 places are taken", 5), { kind: "full", retryMs: 5000, message: "all 2 places are taken" });
  assert.equal(of(503, "the server is stopping", 5).kind, "stopping");
  assert.equal(of(429, "this key has 1 streams", 5).kind, "full");
  for (const status of [500, 502]) assert.equal(of(status).kind, "network");
  for (const status of [400, 426]) assert.equal(of(status).kind, "upgrade", "a stream would have been taken");
  assert.equal(of(404).retry, false);
  for (const kind of /** @type {(keyof typeof WORDS)[]} */ (Object.keys(WORDS))) assert.ok(words({ kind }).title);
  const named = (/** @type {string} */ name) => Object.assign(new Error(), { name });
  assert.equal(mediaFault(named("NotAllowedError"), "microphone").kind, "denied");
  assert.equal(mediaFault(named("NotAllowedError"), "tab").kind, "shareCancelled");
  assert.equal(mediaFault(named("NotFoundError"), "microphone").kind, "noMicrophone");
  assert.equal(mediaFault(named("NotReadableError"), "microphone").kind, "busy");
});
