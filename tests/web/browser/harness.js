// A server with the bundled model, a wire to it that can be cut, a browser whose microphone plays a recording, and what is
// asked of its pages. Invariant: whatever was started ends with the test.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const { WEB_PROGRAM, WEB_PACKAGES } = process.env;
const require = createRequire(join(WEB_PACKAGES, "package.json"));
const load = async (name) => {
  const module = await import(pathToFileURL(require.resolve(name)));
  return module.default;
};
export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
export const SAMPLE = "models/en-de-small/sample.opus";
export const PATIENCE_MS = 90_000;
const installed = (name) => process.env.PATH.split(delimiter).map((folder) => join(folder, name)).find(existsSync);
/** Where Firefox is, and a sound server for it, if they are. */
export const FIREFOX = process.env.FIREFOX ?? installed("firefox-esr");
export const PULSEAUDIO = installed("pulseaudio");
export const folder = mkdtempSync(join(tmpdir(), "decalage-web-"));
const ending = [() => rmSync(folder, { recursive: true, force: true })];
export const finish = async () => {
  for (const end of ending.reverse()) await end();
};

/** Starts `decalage serve` on a port of its own; gives its address. */
export async function serve(env = {}, port = 0) {
  const options = { env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "pipe"] };
  const bundle = join(ROOT, "models/en-de-small");
  const child = spawn(WEB_PROGRAM, ["serve", "--listen", `127.0.0.1:${port}`, "--bundle", bundle], options);
  const stop = (signal = "SIGTERM") => {
    const isOver = child.exitCode !== null || child.signalCode !== null;
    const exited = isOver ? Promise.resolve() : new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    return exited;
  };
  ending.push(() => stop("SIGKILL"));
  let log = "";
  const address = await new Promise((resolve, reject) => {
    child.stderr.on("data", (text) => {
      log += text;
      const found = /listening on (http:\/\/[0-9.:]+)/.exec(log);
      if (found) resolve(found[1]);
    });
    child.once("exit", () => reject(new Error(`the server does not listen: ${log}`)));
  });
  return { address, stop, log: () => log };
}

/** A wire to `address` that can be cut, and kept from being mended; `rewrite` changes what clients say. */
export async function wire(address, rewrite = (bytes) => bytes) {
  const target = new URL(address);
  const sockets = new Set();
  let whole = true;
  const server = createServer((client) => {
    if (!whole) return client.destroy();
    const upstream = connect(Number(target.port), target.hostname);
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      sockets.add(from);
      from.on("data", (bytes) => to.write(from === client ? rewrite(bytes) : bytes));
      from.on("error", () => {});
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  ending.push(() => {
    cut();
    server.close();
  });
  return {
    address: `http://127.0.0.1:${server.address().port}`,
    cut,
    allow(next) {
      whole = next;
    },
  };
}

/** A browser; `wav` is what its microphone hears, once. */
export async function launch(wav) {
  const { chromium } = await load("playwright-core");
  const executablePath = await (await load("@sparticuz/chromium")).executablePath();
  const args = ["--no-sandbox", "--autoplay-policy=user-gesture-required", "--mute-audio", "--host-resolver-rules=MAP insecure.test 127.0.0.1"];
  if (wav) args.push("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", `--use-file-for-fake-audio-capture=${wav}%noloop`);
  const browser = await chromium.launch({ executablePath, args });
  ending.push(() => browser.close());
  return browser;
}

/** Firefox as it is installed; its microphone hums, and what it saves goes to `folder`. */
export async function launchFirefox() {
  // Without a loudspeaker it runs no audio graph at all.
  const socket = join(folder, "speaker");
  const modules = ["module-null-sink", `module-native-protocol-unix auth-anonymous=1 socket=${socket}`].map((name) => `--load=${name}`);
  const options = ["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", ...modules];
  const speaker = spawn(PULSEAUDIO, options, { env: { ...process.env, HOME: folder, XDG_RUNTIME_DIR: folder }, stdio: "ignore" });
  ending.push(() => speaker.kill());
  while (!existsSync(socket)) {
    assert.equal(speaker.exitCode, null, "pulseaudio does not start");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  // Playwright drives a Firefox of its own, or a newer one than Debian's.
  const puppeteer = await load("puppeteer-core");
  const extraPrefsFirefox = {
    "media.navigator.streams.fake": true,
    "media.navigator.permission.disabled": true,
    "browser.download.folderList": 2,
    "browser.download.dir": folder,
  };
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath: FIREFOX,
    extraPrefsFirefox,
    defaultViewport: { width: 1280, height: 800 },
    env: { ...process.env, PULSE_SERVER: `unix:${socket}` },
  });
  ending.push(() => browser.close());
  return browser;
}

/** All of it; `open` gives a page that must not complain, but of `complaints`. */
export async function stage() {
  const server = await serve();
  const line = await wire(server.address);
  const decoder = await launch();
  const page = await decoder.newPage();
  await page.goto(server.address);
  const wav = await toWav(page, [SAMPLE], 1);
  await decoder.close();
  const browser = await launch(wav);
  const open = async (path = "/", { address = line.address, complaints = [], prepare = () => {}, ...options } = {}) => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, permissions: ["microphone", "clipboard-write", "clipboard-read"], reducedMotion: "reduce", ...options });
    const page = await context.newPage();
    const wrong = [];
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && wrong.push(message.text()));
    page.on("pageerror", (error) => wrong.push(error.stack));
    await page.addInitScript(() => addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective}`)));
    await page.addInitScript(prepare);
    await page.goto(address + path);
    const close = async () => {
      await context.close();
      const unexpected = wrong.filter((text) => !complaints.some((pattern) => pattern.test(text)));
      assert.deepEqual(unexpected, []);
    };
    return { page, close };
  };
  return { server, line, wav, open };
}

export const status = (page, text) => page.waitForFunction((text) => document.querySelector("#status").textContent.includes(text), text, { timeout: PATIENCE_MS });
export const words = (page, side = "target") => page.locator(`.utterance .${side} .word`).allTextContents();
export const wordCount = (page, count) => page.waitForFunction((count) => document.querySelectorAll(".target .word").length >= count, count, { timeout: PATIENCE_MS });

/** What is wrong with a page's accessibility, as axe sees it. */
export async function axe(page) {
  const context = page.context();
  await page.evaluate(AXE).catch(() => context.addInitScript(AXE));
  const { violations } = await page.evaluate(() => window.axe.run());
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

/** Decodes recordings, one after the other with `pauseS` of silence between, to a wav file. */
export async function toWav(page, paths, pauseS) {
  const recordings = paths.map((path) => readFileSync(join(ROOT, path)).toString("base64"));
  const base64 = await page.evaluate(decode, { recordings, pauseS });
  const pcm = Buffer.from(base64, "base64");
  const header = Buffer.alloc(44);
  header.write("RIFF....WAVEfmt ", "latin1");
  header.writeUInt32LE(36 + pcm.length, 4);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(48_000, 24);
  header.writeUInt32LE(96_000, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write("data", 36, "latin1");
  header.writeUInt32LE(pcm.length, 40);
  const path = join(folder, `speech-${paths.length}-${pauseS}.wav`);
  writeFileSync(path, Buffer.concat([header, pcm]));
  return path;
}

/** Runs in the browser. */
async function decode({ recordings, pauseS }) {
  const context = new OfflineAudioContext(1, 1, 48_000);
  const pause = new Int16Array(pauseS * 48_000);
  const parts = [pause];
  for (const recording of recordings) {
    const bytes = Uint8Array.from(atob(recording), (c) => c.charCodeAt(0));
    const samples = (await context.decodeAudioData(bytes.buffer)).getChannelData(0);
    parts.push(Int16Array.from(samples, (sample) => Math.max(-1, Math.min(1, sample)) * 32767), pause);
  }
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  let text = "";
  // A multiple of three, so that the pieces of base64 fit together.
  for (let i = 0; i < bytes.length; i += 32_766) text += btoa(String.fromCharCode(...bytes.subarray(i, i + 32_766)));
  return text;
}
