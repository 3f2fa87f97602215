// What goes wrong, in a real browser: the page says what it is in plain words, holds nothing, and can be started again.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { PATIENCE_MS, axe, finish, serve, stage, status, wire, wordCount, words } from "./harness.js";

const { line, wav, open } = await stage();
after(finish);

const complaints = [/Failed to load resource|WebSocket connection|ERR_/];

const notice = (page, text) => page.waitForFunction((text) => !document.querySelector("#notice").hidden && document.querySelector("#notice").textContent.includes(text), text, { timeout: PATIENCE_MS });
const noNotice = (page) => page.waitForFunction(() => document.querySelector("#notice").hidden);
/** It can be started, and no track and no audio context is held. */
const isReady = (page) => page.waitForFunction(() => document.querySelector("#start").textContent === "Start"
  && window.tracks.every(({ readyState }) => readyState === "ended") && window.contexts.every(({ state }) => state === "closed"));

/** Runs in the page, before all else. */
function watch() {
  window.tracks = [];
  window.contexts = [];
  const media = navigator.mediaDevices;
  const { getUserMedia } = media ?? {};
  if (media) {
    media.getUserMedia = async (wanted) => {
      await window.permission;
      if (window.refusal) throw new DOMException("no", window.refusal);
      const stream = await getUserMedia.call(media, wanted);
      window.tracks.push(...stream.getTracks());
      return stream;
    };
  }
  window.AudioContext = class extends AudioContext {
    constructor() {
      super();
      window.contexts.push(this);
    }
  };
}
const openWatched = (path, options) => open(path, { prepare: watch, ...options });

const chooseFile = async (page, file) => {
  await page.check("input[value=file]", { force: true });
  await page.setInputFiles("#file", file);
};

const CASES = {
  "no permission": ["The microphone is blocked", (page) => page.evaluate(() => (window.refusal = "NotAllowedError"))],
  "no microphone": ["No microphone was found", (page) => page.evaluate(() => (window.refusal = "NotFoundError"))],
  "a microphone in use": ["The microphone cannot be used", (page) => page.evaluate(() => (window.refusal = "NotReadableError"))],
  "an old browser": ["This browser cannot do this", (page) => page.evaluate(() => delete window.AudioWorkletNode)],
  "a file that is none": ["This file cannot be played", (page) => chooseFile(page, { name: "a.mp3", mimeType: "audio/mpeg", buffer: Buffer.from("text") })],
  "sound that never begins": ["The sound is interrupted", (page) => page.evaluate(() => (AudioContext.prototype.resume = () => new Promise(() => {})))],
};

for (const [name, [said, spoil]] of Object.entries(CASES)) {
  test(`${name} is said`, async () => {
    const { page, close } = await openWatched();
    await spoil(page);
    await page.click("#start");
    await notice(page, said);
    await isReady(page);
    assert.deepEqual(await axe(page), []);
    await close();
  });
}

test("a page that is not secure is said to be so", async () => {
  const { port } = new URL(line.address);
  const { page, close } = await openWatched("/", { address: `http://insecure.test:${port}`, complaints: [/trustworthy/] });
  await page.click("#start");
  await notice(page, "This page is not secure");
  await close();
});

test("a server that is gone when somebody starts is missed, and the microphone given back", async () => {
  const { address, stop } = await serve();
  const { page, close } = await openWatched("/", { address, complaints });
  await page.waitForFunction(() => document.querySelector("#languages").textContent.includes("German"));
  await stop("SIGKILL");
  await page.click("#start");
  await notice(page, "No connection to the server");
  await isReady(page);
  await close();
});

test("who stops while the browser still asks for permission is not recorded", async () => {
  const { page, close } = await openWatched();
  await page.evaluate(() => void (window.permission = new Promise((resolve) => (window.allow = resolve))));
  await page.click("#start");
  await status(page, "Starting");
  await page.click("#start");
  await status(page, "Ready");
  await page.evaluate(() => window.allow());
  await page.waitForFunction(() => window.tracks.length === 1 && window.tracks[0].readyState === "ended");
  await isReady(page);
  await page.click("#start");
  await status(page, "Listening");
  await close();
});

test("a page that may store nothing works all the same", async () => {
  const prepare = () => {
    for (const name of ["localStorage", "sessionStorage"]) {
      Object.defineProperty(window, name, { get: () => { throw new DOMException("forbidden", "SecurityError"); } });
    }
  };
  const { page, close } = await open("/", { prepare });
  await page.click("#original");
  await page.click("#start");
  await wordCount(page, 1);
  await close();
});

test("a microphone that is unplugged, and a file that breaks, end it and are said", async () => {
  const unplug = (page) => page.evaluate(() => window.tracks.forEach((track) => (track.stop(), track.dispatchEvent(new Event("ended")))));
  const { page, close } = await openWatched();
  await page.click("#start");
  await wordCount(page, 2);
  await unplug(page);
  await notice(page, "The microphone was unplugged");
  await status(page, "Finished");
  await isReady(page);
  await chooseFile(page, wav);
  await page.click("#start");
  await status(page, "Listening");
  await page.evaluate(() => document.querySelector("audio").dispatchEvent(new Event("error")));
  await notice(page, "This file cannot be played");
  await status(page, "Finished");
  await isReady(page);
  await close();
  const overlay = await openWatched("/overlay.html");
  await overlay.page.waitForFunction(() => document.querySelector("#lines").textContent);
  await unplug(overlay.page);
  await overlay.page.waitForFunction(() => document.querySelector("#fault").textContent.includes("The microphone was unplugged"));
  await overlay.close();
});

test("sound that a call takes away is taken back, and missed as long as it cannot be", async () => {
  const { page, close } = await openWatched();
  await page.click("#start");
  await status(page, "Listening");
  await page.evaluate(async () => {
    const [context] = window.contexts;
    await context.suspend();
    await new Promise((resolve) => (function wait() { context.state === "running" ? resolve() : setTimeout(wait, 20); })());
    context.resume = () => Promise.reject(new Error("in a call"));
    await context.suspend();
  });
  await notice(page, "The sound is interrupted");
  await page.evaluate(() => AudioContext.prototype.resume.call(window.contexts[0]));
  await noNotice(page);
  await page.evaluate(() => Object.defineProperty(window.tracks[0], "muted", { value: true }) && window.tracks[0].dispatchEvent(new Event("mute")));
  await notice(page, "The sound is interrupted");
  await close();
});

test("a tab is offered only where its sound comes with it", async () => {
  const { page, close } = await open();
  assert.ok(await page.isVisible("#tab-choice"));
  await close();
  const prepare = () => (MediaDevices.prototype.getSupportedConstraints = () => ({ echoCancellation: true }));
  const other = await open("/", { prepare });
  assert.ok(await other.page.isHidden("#tab-choice"));
  await other.close();
});

test("a lost connection, and lost sound, are said once, and counted in silence", async () => {
  const { page, close } = await open("/", { complaints });
  // Sound is kept for 3 s instead of two minutes.
  await page.route("**/connection.js", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: (await response.text()).replace("120_000", "3_000") });
  });
  await page.reload();
  await page.click("#start");
  await status(page, "Listening");
  await page.evaluate(() => {
    window.said = [];
    const alert = document.querySelector("#notice [role=alert]");
    const live = [alert, document.querySelector("#status")];
    for (const region of live) new MutationObserver(() => window.said.push(region.textContent)).observe(region, { childList: true, characterData: true, subtree: true });
  });
  line.allow(false);
  line.cut();
  await notice(page, "No connection to the server");
  const counts = new Set();
  await notice(page, "Some of the sound is lost");
  for (let i = 0; i < 12; i++) {
    counts.add(await page.textContent("#notice-count"));
    await page.waitForTimeout(250);
  }
  assert.ok(counts.size >= 3, [...counts].join());
  assert.match(await page.textContent("#countdown"), /^(in \d+ s)?$/);
  await page.click("#notice-close");
  await page.waitForTimeout(2500);
  assert.ok(await page.isHidden("#notice"), "what was dismissed does not come back");
  line.allow(true);
  await status(page, "Listening");
  const said = await page.evaluate(() => window.said);
  assert.ok(said.every((text) => !/\d/.test(text)), "no live region counts");
  assert.equal(new Set(said.filter((text) => /lost/.test(text))).size, 1, said.join("\n"));
  assert.ok(said.length < 20, said.join("\n"));
  await close();
});

test("a proxy that lets no websocket through is told from a connection that is gone", async () => {
  const proxy = await wire(line.address, (bytes) => Buffer.from(bytes.toString("latin1").replace("Upgrade: websocket", "X-Dropped: websocket"), "latin1"));
  const { page, close } = await open("/", { address: proxy.address, complaints });
  await page.click("#start");
  await notice(page, "Something between page and server");
  await close();
});

test("a key is asked for, wrong ones refused, a right one kept for this tab", async () => {
  const { address, stop } = await serve({ DECALAGE_AUTH__KEYS: '["sk-web-test"]' });
  const { page, close } = await open("/", { address, complaints });
  await notice(page, "asks for a key");
  for (const [key, said] of [["c2VjcmV0Cg==", "cannot be used in a browser"], ["sk-wrong-key", "asks for a key"]]) {
    await page.fill("#key", key);
    await page.click("#key-form button");
    await notice(page, said);
  }
  await page.fill("#key", "sk-web-test");
  await page.click("#key-form button");
  await noNotice(page);
  await page.click("#start");
  await wordCount(page, 2);
  assert.equal(await page.evaluate(() => localStorage.getItem("decalage")?.includes("sk-web-test") ?? false), false);
  await close();
  await stop();
});

test("a full server, and one that stops", async () => {
  const full = await serve({ DECALAGE_MODEL__MAX_SESSIONS: "1" });
  const one = await open("/", { address: full.address, complaints });
  await one.page.click("#start");
  await status(one.page, "Listening");
  const two = await open("/", { address: full.address, complaints });
  await two.page.click("#start");
  await notice(two.page, "The server is full");
  await one.page.click("#start");
  await status(two.page, "Listening");
  await noNotice(two.page);
  await wordCount(two.page, 2);
  // Its own place is enough for another patience.
  await two.page.evaluate(() => new MutationObserver(() => (window.complained ||= !document.querySelector("#notice").hidden)).observe(document.querySelector("#notice"), { attributes: true }));
  const opened = new Promise((resolve) => two.page.on("websocket", (socket) => socket.on("framereceived", () => resolve(new URL(socket.url()).searchParams.get("k")))));
  await two.page.locator("#k").fill("5");
  assert.equal(await opened, "5");
  await wordCount(two.page, (await words(two.page)).length + 1);
  assert.ok(!(await two.page.evaluate(() => window.complained)));
  await full.stop();
  await notice(two.page, "No connection to the server");
  await two.page.click("#start");
  await two.page.click("#start");
  await status(two.page, "Finished");
  await one.close();
  await two.close();
});
