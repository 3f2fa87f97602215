// The page in Firefox, which has another audio thread, other permissions and other media than Chromium. Its microphone can only
// hum, so words come from a recording.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { FIREFOX, PATIENCE_MS, PULSEAUDIO, ROOT, SAMPLE, finish, folder, launchFirefox, serve, wire } from "./harness.js";

const isHere = FIREFOX && PULSEAUDIO;
const skip = isHere ? false : "there is no Firefox with sound: install Debian's firefox-esr and pulseaudio (FIREFOX may name another one)";
/** A second of sound, as it is sent. */
const BYTES_PER_S = 32_000;

let sentBytes = 0;
const count = (bytes) => {
  sentBytes += bytes.length;
  return bytes;
};
const line = isHere && (await wire((await serve()).address, count));
const browser = isHere && (await launchFirefox());
after(finish);

/** A page that must not complain. */
async function open(path) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => ["error", "warn"].includes(message.type()) && wrong.push(message.text()));
  page.on("pageerror", (error) => wrong.push(String(error)));
  await page.evaluateOnNewDocument(() => addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective}`)));
  await page.goto(line.address + path);
  const close = async () => {
    await context.close();
    assert.deepEqual(wrong, []);
  };
  return { page, close };
}

/** Waits; what the page says instead is the error's. */
async function until(page, check, ...given) {
  await page.waitForFunction(check, { timeout: PATIENCE_MS }, ...given).catch(async (error) => {
    const said = await page.$$eval("#status, #notice", (elements) => elements.map(({ textContent }) => textContent));
    throw new Error(`the page says ${JSON.stringify(said)}, ${sentBytes} bytes came`, { cause: error });
  });
}
const status = (page, text) => until(page, (text) => document.querySelector("#status").textContent.includes(text), text);
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Bytes a second that reach the server. */
async function rate() {
  const [before, begin] = [sentBytes, performance.now()];
  await wait(4000);
  return (sentBytes - before) / ((performance.now() - begin) / 1000);
}

test("Firefox: the microphone starts, its level moves, and its sound reaches the server", { skip }, async () => {
  const { page, close } = await open("/");
  await until(page, () => document.querySelector("#languages").textContent === "English → German");
  assert.ok(await page.$eval("#tab-choice", ({ hidden }) => hidden), "Firefox shares tabs without their sound");
  await page.click("#start");
  await status(page, "Listening");
  await until(page, () => document.querySelector("#level").value > 0.1);
  await until(page, () => document.querySelectorAll("#device option").length > 1);
  const sent = await rate();
  assert.ok(sent > 0.85 * BYTES_PER_S && sent < 1.15 * BYTES_PER_S, `${sent} bytes a second`);
  await page.click("#start");
  await status(page, "Finished");
  assert.ok(await page.$eval("#notice", ({ hidden }) => hidden));
  await close();
});

test("Firefox: a file is played and translated in step, also over a cut, and saved", { skip }, async () => {
  const { page, close } = await open("/");
  await until(page, () => document.querySelector("#languages").textContent === "English → German");
  await page.click("input[value=file] + span");
  const picker = await page.$("#file");
  await picker.uploadFile(join(ROOT, SAMPLE));
  await page.click("#start");
  await status(page, "Listening");
  await until(page, () => document.querySelectorAll(".target .word").length >= 4);
  line.cut();
  await status(page, "Connecting again");
  await status(page, "Finished");
  const german = await page.$$eval(".target .word", (words) => words.map(({ textContent }) => textContent));
  assert.ok(german.length > 15 && german.some((word) => /\b(ich|ist|eine?|habe)\b/i.test(word)), german.join(""));
  await page.click("#vtt");
  const saved = join(folder, "translation.vtt");
  while (!existsSync(saved) || readFileSync(saved).length === 0) await wait(50);
  assert.match(readFileSync(saved, "utf8"), /^WEBVTT\n\n00:00:0/);
  await close();
});

test("Firefox: the overlay listens after a click", { skip }, async () => {
  const { page, close } = await open("/overlay.html");
  await until(page, () => !document.querySelector("#help").hidden);
  await page.click("#start");
  await wait(2000);
  assert.ok((await rate()) > 0.85 * BYTES_PER_S);
  assert.ok(await page.$eval("#help", ({ hidden }) => hidden));
  await close();
});
