// The page in a real browser, with the bundled model: what a visitor sees, does and saves.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { AXE, finish, launch, serve, toWav, wire } from "./harness.js";

const MAX_SCRIPT_BYTES = 60_000;
const SAMPLE = "models/en-de-small/sample.opus";
const PATIENCE_MS = 90_000;
const WEB = new URL("../../../web/", import.meta.url);

let server, line, wav, browser;

before(async () => {
  server = await serve();
  line = await wire(server.address);
  const decoder = await launch();
  const page = await decoder.newPage();
  await page.goto(server.address);
  wav = await toWav(page, [SAMPLE], 1);
  await decoder.close();
  browser = await launch(wav);
});

after(finish);

/** A page that must not complain; `complaints` are allowed to. */
async function open(path = "/", { address = line.address, complaints = [], ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, permissions: ["microphone", "clipboard-write", "clipboard-read"], reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && wrong.push(message.text()));
  page.on("pageerror", (error) => wrong.push(error.stack));
  await page.addInitScript(() => addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective}`)));
  await page.goto(address + path);
  const close = async () => {
    await context.close();
    const unexpected = wrong.filter((text) => !complaints.some((pattern) => pattern.test(text)));
    assert.deepEqual(unexpected, []);
  };
  return { page, close };
}

const status = (page, text) => page.waitForFunction((text) => document.querySelector("#status").textContent.includes(text), text, { timeout: PATIENCE_MS });
const words = (page, side = "target") => page.locator(`.utterance .${side} .word`).allTextContents();
const wordCount = (page, count) => page.waitForFunction((count) => document.querySelectorAll(".target .word").length >= count, count, { timeout: PATIENCE_MS });
/** Long enough for all of the recording. */
const heardAll = (page) => page.waitForTimeout((readFileSync(wav).length / 96_000) * 1000 + 500);

/** Starts, hears everything, stops. */
async function run(page) {
  await page.click("#start");
  await status(page, "Listening");
  await heardAll(page);
  await page.click("#start");
  await status(page, "Finished");
}

async function shown(page) {
  const lines = await page.locator(".utterance .target").evaluateAll((lines) => lines.map((line) => line.textContent.trim()));
  return lines.filter((text) => text !== "").map((text) => `${text}\n`).join("");
}

async function saved(page, format) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click(`#${format}`)]);
  return { name: download.suggestedFilename(), text: readFileSync(await download.path(), "utf8") };
}

/** What is wrong with a page's accessibility, as axe sees it. */
async function axe(page) {
  const context = page.context();
  await page.evaluate(AXE).catch(() => context.addInitScript(AXE));
  const { violations } = await page.evaluate(() => window.axe.run());
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

test("who speaks reads German, and saves what the page shows", async () => {
  const { page, close } = await open();
  assert.equal(await page.textContent("#languages"), "English → German");
  assert.deepEqual(await axe(page), []);
  await page.click("#start");
  await wordCount(page, 4);
  await status(page, "Listening");
  assert.deepEqual(await axe(page), []);
  await heardAll(page);
  await page.click("#start");
  await status(page, "Finished");
  const german = await words(page);
  assert.ok(german.length > 15 && german.some((word) => /\b(ich|ist|eine?|habe)\b/i.test(word)), german.join(""));
  assert.ok((await words(page, "source")).length > 15);
  const text = await shown(page);
  assert.deepEqual(await saved(page, "txt"), { name: "translation.txt", text });
  await page.click("#copy");
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), text);
  for (const format of ["srt", "vtt"]) {
    const { text: file } = await saved(page, format);
    const cues = file.split("\n").filter((line) => !/^(WEBVTT|\d+|.*-->.*|)$/.test(line));
    assert.equal(cues.join(" "), text.trim().replaceAll("\n", " "));
  }
  assert.match(await page.textContent("#lag-value"), /^\d+\.\d s$/);
  assert.equal(await page.textContent(".tail"), "");
  // A screen reader is given the same words.
  const spoken = (await page.locator("#spoken p").allTextContents()).join(" ");
  assert.ok(spoken.length > 10 && text.replaceAll("\n", " ").includes(spoken), spoken);
  await close();
});

test("a cut connection loses no sound and says nothing twice", async () => {
  const complaints = [/ERR_|WebSocket connection/];
  const { page, close } = await open("/", { complaints });
  const sockets = [];
  page.on("websocket", (socket) => {
    const sent = [];
    sockets.push(sent);
    socket.on("framesent", ({ payload }) => typeof payload !== "string" && sent.push(payload));
  });
  await page.click("#start");
  await wordCount(page, 8);
  line.allow(false);
  line.cut();
  const before = await words(page);
  await status(page, "Connecting again");
  await page.waitForTimeout(1500);
  line.allow(true);
  await status(page, "Listening");
  await heardAll(page);
  await page.click("#start");
  await status(page, "Finished");
  const [first, ...others] = sockets.map((sent) => Buffer.concat(sent));
  const second = others.findLast((audio) => audio.length > 0);
  // What was sent twice is the same: the second begins where the first had been worked off. (Not deepEqual: were they
  // different, Node would compute the difference of a million numbers, in all memory there is.)
  let at = 0;
  while (at < first.length && !second.subarray(0, first.length - at).equals(first.subarray(at))) at += 2;
  assert.ok(at < first.length, "the second begins within the first");
  const whole = Buffer.concat([first.subarray(0, at), second]);
  assert.ok(whole.length / 32_000 > readFileSync(wav).length / 96_000, "nothing is missing");
  // What was there stays. What comes behind the cut may be worded otherwise than in one session (segments begin
  // elsewhere), but nothing comes twice: as many utterances, and none has its words again.
  const text = await words(page);
  assert.deepEqual(text.slice(0, before.length), before);
  const expected = await page.evaluate(translate, whole.toString("base64"));
  const utterances = (await shown(page)).trim().split("\n");
  assert.equal(utterances.length, expected.length, `${utterances.join("\n")}\ninstead of\n${expected.join("\n")}`);
  const ratio = text.length / expected.join(" ").split(" ").length;
  assert.ok(ratio > 0.7 && ratio < 1.4, `${ratio}:\n${utterances.join("\n")}\ninstead of\n${expected.join("\n")}`);
  await close();
});

/** Runs in the page: all audio in one session, to the translation of each utterance. */
async function translate(base64) {
  const audio = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const socket = new WebSocket(`ws://${location.host}/v1/realtime/translations?model=en-de-small&rate=16000&k=3&ext=vad`);
  const utterances = [];
  await new Promise((resolve) => (socket.onopen = resolve));
  for (let i = 0; i < audio.length; i += 3200) socket.send(audio.subarray(i, i + 3200));
  socket.send('{"type":"session.close"}');
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "session.speech_started") utterances.push("");
    if (message.type === "session.output_transcript.delta") utterances.push(utterances.pop() + message.delta);
  };
  await new Promise((resolve) => (socket.onclose = resolve));
  return utterances.map((text) => text.trim()).filter((text) => text !== "");
}

test("patience can be changed while somebody speaks", async () => {
  const { page, close } = await open();
  const urls = [];
  page.on("websocket", (socket) => urls.push(new URL(socket.url()).searchParams.get("k")));
  await page.click("#start");
  await wordCount(page, 3);
  await page.locator("#k").fill("5");
  await page.waitForTimeout(1000);
  const before = (await words(page)).length;
  await wordCount(page, before + 5);
  assert.deepEqual(urls, ["3", "5"]);
  await page.click("#start");
  await status(page, "Finished");
  await page.reload();
  assert.equal(await page.inputValue("#k"), "5");
  await close();
});

test("a file is played and translated in step", async () => {
  const { page, close } = await open();
  await page.check("input[value=file]", { force: true });
  await page.setInputFiles("#file", wav);
  await page.click("#start");
  await wordCount(page, 4);
  const { at, length } = await page.evaluate(() => {
    const { currentTime, duration } = document.querySelector("audio");
    return { at: currentTime, length: duration };
  });
  assert.ok(at > 1 && at < length, "words come while it plays");
  await status(page, "Finished");
  assert.ok((await words(page)).length > 15);
  await close();
});

test("a dropped file is translated without another click", async () => {
  const { page, close } = await open();
  await page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], "talk.opus", { type: "audio/ogg" }));
    // Sound begins only after a gesture; a real drop is one, this event is not.
    document.addEventListener("click", () => dispatchEvent(new DragEvent("drop", { dataTransfer, cancelable: true })), { once: true });
  }, readFileSync(new URL(`../${SAMPLE}`, WEB)).toString("base64"));
  await page.click("h1");
  await wordCount(page, 4);
  assert.equal(await page.textContent("#file-name"), "talk.opus");
  assert.ok(await page.isChecked("input[value=file]"));
  await status(page, "Finished");
  await close();
});

test("a tab's sound is translated until the tab is no longer shared", async () => {
  const { page, close } = await open();
  // A browser without a screen has no tab to share: the microphone's sound with a picture stands for one.
  await page.evaluate(() => {
    const picture = document.createElement("canvas");
    picture.getContext("2d");
    let shared = [];
    navigator.mediaDevices.getDisplayMedia = async ({ video, audio }) => {
      const sound = await navigator.mediaDevices.getUserMedia({ audio });
      shared = [...picture.captureStream().getVideoTracks(), ...(window.silent ? [] : sound.getAudioTracks())];
      return new MediaStream(video ? shared : []);
    };
    window.stopSharing = () => shared.forEach((track) => (track.stop(), track.dispatchEvent(new Event("ended"))));
    window.live = () => shared.filter(({ readyState }) => readyState === "live").length;
  });
  await page.check("input[value=tab]", { force: true });
  await page.click("#start");
  await wordCount(page, 4);
  await page.evaluate(() => window.stopSharing());
  await status(page, "Finished");
  await page.evaluate(() => (window.silent = true));
  await page.click("#start");
  await page.waitForFunction(() => document.querySelector("#notice").textContent.includes("The shared tab has no sound"));
  assert.equal(await page.evaluate(() => window.live()), 0, "the picture is not held either");
  await close();
});

test("the microphone that was chosen is used, and the screen stays on meanwhile", async () => {
  const { page, close } = await open();
  await page.evaluate(() => {
    const { getUserMedia } = navigator.mediaDevices;
    navigator.mediaDevices.getUserMedia = (wanted) => {
      window.wanted = wanted;
      return getUserMedia.call(navigator.mediaDevices, wanted);
    };
    window.locks = 0;
    const release = async () => void window.locks--;
    Object.defineProperty(navigator, "wakeLock", { value: { request: async () => (window.locks++, { release }) } });
  });
  await page.waitForFunction(() => document.querySelectorAll("#device option").length > 1);
  // The others have another name in every page of a private window.
  const chosen = "default";
  await page.selectOption("#device", chosen);
  await page.click("#start");
  await wordCount(page, 1);
  assert.deepEqual(await page.evaluate(() => window.wanted.audio.deviceId), { exact: chosen });
  assert.equal(await page.evaluate(() => window.locks), 1);
  await page.click("#start");
  await status(page, "Finished");
  assert.equal(await page.evaluate(() => window.locks), 0);
  await page.reload();
  await page.waitForFunction((chosen) => document.querySelector("#device").value === chosen, chosen);
  await close();
});

test("the overlay shows captions and nothing else, on a transparent page", async () => {
  const { page, close } = await open("/overlay.html?lines=2&size=40&colour=ffcc00");
  await page.waitForFunction(() => document.querySelector("#lines").textContent.length > 10, null, { timeout: PATIENCE_MS });
  assert.ok(await page.locator("#help").isHidden());
  const style = await page.evaluate(() => {
    const line = getComputedStyle(document.querySelector("#lines p"));
    return { page: getComputedStyle(document.body).backgroundColor, colour: line.color, size: line.fontSize };
  });
  assert.deepEqual(style, { page: "rgba(0, 0, 0, 0)", colour: "rgb(255, 204, 0)", size: "40px" });
  assert.ok((await page.locator("#window").boundingBox()).height <= 2 * 1.3 * 40 + 1);
  await close();
  // With somebody who has to do something: share a tab.
  const other = await open("/overlay.html?source=tab");
  assert.ok(await other.page.isVisible("#start"));
  assert.deepEqual(await axe(other.page), []);
  await other.close();
});

test("every failure is said in plain words", async (t) => {
  const complaints = [/Failed to load resource|WebSocket connection|ERR_/];
  const notice = (page, text) => page.waitForFunction((text) => !document.querySelector("#notice").hidden && document.querySelector("#notice").textContent.includes(text), text, { timeout: PATIENCE_MS });

  await t.test("no permission", async () => {
    const { page, close } = await open();
    await page.evaluate(() => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", "NotAllowedError"));
    });
    await page.click("#start");
    await notice(page, "The microphone is blocked");
    assert.equal(await page.textContent("#start"), "Start");
    assert.deepEqual(await axe(page), []);
    await close();
  });

  await t.test("a key is asked for, a wrong one refused, a right one kept for this tab", async () => {
    const { address, stop } = await serve({ DECALAGE_AUTH__KEYS: '["sk-web-test"]' });
    const { page, close } = await open("/", { address, complaints });
    for (const key of ["sk-wrong-key", "sk-web-test"]) {
      await notice(page, "asks for a key");
      await page.fill("#key", key);
      await page.click("#key-form button");
    }
    await page.waitForFunction(() => document.querySelector("#notice").hidden);
    await page.click("#start");
    await wordCount(page, 2);
    assert.equal(await page.evaluate(() => localStorage.getItem("decalage")?.includes("sk-web-test") ?? false), false);
    await close();
    await stop();
  });

  await t.test("a full server, and one that stops", async () => {
    const full = await serve({ DECALAGE_MODEL__MAX_SESSIONS: "1" });
    const one = await open("/", { address: full.address, complaints });
    await one.page.click("#start");
    await status(one.page, "Listening");
    const two = await open("/", { address: full.address, complaints });
    await two.page.click("#start");
    await notice(two.page, "The server is full");
    await one.page.click("#start");
    await status(two.page, "Listening");
    await wordCount(two.page, 2);
    await full.stop();
    await notice(two.page, "No connection to the server");
    await two.page.click("#start");
    await two.page.click("#start");
    await status(two.page, "Finished");
    await one.close();
    await two.close();
  });
});

test("the page is accessible in the dark, on a telephone, and with captions alone", async () => {
  for (const options of [{ colorScheme: "dark" }, { viewport: { width: 390, height: 844 } }, { viewport: { width: 360, height: 640 }, colorScheme: "dark" }]) {
    const { page, close } = await open("/", options);
    await page.click("#start");
    await wordCount(page, 3);
    assert.deepEqual(await axe(page), [], JSON.stringify(options));
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0, "nothing sticks out");
    await page.click("#fill");
    await page.click("#contrast");
    assert.deepEqual(await axe(page), [], "captions alone");
    assert.ok(await page.locator("aside").isHidden());
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => !document.body.classList.contains("fills"));
    await close();
  }
});

test("the page holds few elements however long somebody speaks", async () => {
  const { page, close } = await open();
  const counts = await page.evaluate(async () => {
    const [{ Captions }, { CaptionsView }] = await Promise.all([import("/captions.js"), import("/captions-view.js")]);
    const captions = new Captions();
    const scroller = document.querySelector("#captions");
    const view = new CaptionsView(scroller, document.querySelector("#utterances"));
    const counts = [];
    for (let id = 0; id < 500; id++) {
      view.show(captions.open(id, 1000 * id), captions.recent);
      for (let i = 0; i < 12; i++) view.show(captions.add(id, "target", { text: ` word${i}`, startMs: i, endMs: i + 1 }), captions.recent);
      counts.push(document.querySelectorAll("*").length);
    }
    return counts;
  });
  assert.equal(Math.max(...counts.slice(40)), Math.max(...counts.slice(40, 80)));
  assert.ok(Math.max(...counts) < 1500, `${Math.max(...counts)}`);
  await close();
});

test("the page is light, quick and still", async () => {
  const { page, close } = await open();
  await page.waitForTimeout(500);
  const measured = await page.evaluate(async () => {
    const shifts = await new Promise((resolve) => {
      new PerformanceObserver((list) => resolve(list.getEntries())).observe({ type: "layout-shift", buffered: true });
      setTimeout(() => resolve([]), 500);
    });
    const scripts = performance.getEntriesByType("resource").filter(({ name }) => name.endsWith(".js"));
    const [paint] = performance.getEntriesByName("first-contentful-paint");
    const [{ domComplete }] = performance.getEntriesByType("navigation");
    return { completeMs: domComplete, transferred: scripts.reduce((sum, { transferSize }) => sum + transferSize, 0), scripts: scripts.length, paintMs: paint.startTime, shift: shifts.reduce((sum, { value }) => sum + value, 0) };
  });
  assert.ok(measured.scripts > 10 && measured.transferred < MAX_SCRIPT_BYTES, JSON.stringify(measured));
  assert.ok(measured.shift < 0.05, JSON.stringify(measured));
  const code = readdirSync(WEB).filter((name) => name.endsWith(".js")).map((name) => readFileSync(new URL(name, WEB), "utf8"));
  const bare = code.join("\n").replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "").replaceAll(/^\s+|\n(?=\n)/gm, "");
  assert.ok(bare.length < MAX_SCRIPT_BYTES, `${bare.length} bytes of code`);
  console.log({ ...measured, code: bare.length, withComments: code.join("").length, gzip: gzipSync(bare).length });
  await close();
});
