// Captions alone, on a transparent page, for streaming software: settings come from the address. Invariant: at most `lines`
// lines are shown, and nothing but captions unless somebody has to do something.

import { textOf } from "./captions.js";
import { byId } from "./elements.js";
import { words } from "./faults.js";
import { parse } from "./overlay-options.js";
import { microphones } from "./sources.js";
import { Translator } from "./translator.js";

/** @import { Fault } from "./faults.js" */
/** @import { Wish } from "./sources.js" */

/** After this long without a word the captions go. */
const STALE_MS = 8000;
/** Utterances that can still be seen in a few lines. */
const MAX_SHOWN = 4;

const options = parse(new URLSearchParams(location.search));
/** Why the sound has ended. @type {Fault | null} */
let fault = null;
const translator = new Translator(location.origin, (change) => {
  if (change.type === "changed") show();
  if (change.type === "fault") fault = change.fault;
  if (change.type === "state" && change.state === "ended") help(change.fault ?? fault);
});
// Behind the #, which browsers do not send: a key must not get into a log.
translator.key = new URLSearchParams(location.hash.slice(1)).get("key") ?? "";
const { style } = document.documentElement;
style.setProperty("--size", `${options.size}px`);
for (const name of /** @type {const} */ (["colour", "outline", "background", "lines", "align"])) style.setProperty(`--${name}`, `${options[name]}`);
let timer = 0;

function show() {
  const lines = translator.captions.recent.slice(-MAX_SHOWN).map((utterance) => {
    const line = document.createElement("p");
    line.textContent = textOf(utterance[options.side]);
    line.lang = (options.side === "target" ? translator.model?.target : translator.model?.source) ?? "";
    return line;
  });
  byId("lines").replaceChildren(...lines.filter(({ textContent }) => textContent));
  clearTimeout(timer);
  timer = setTimeout(() => byId("lines").replaceChildren(), STALE_MS);
}

/** @returns {Promise<Wish>} */
async function wish() {
  if (options.source === "tab") return { kind: "tab" };
  const part = options.device.toLowerCase();
  const found = part && (await microphones()).find(({ label }) => label.toLowerCase().includes(part));
  return { kind: "microphone", deviceId: found ? found.deviceId : "", clean: false };
}

async function start() {
  byId("help").hidden = true;
  fault = await translator.start(await wish(), options.k);
  if (fault) help(fault);
}

/** @param {Fault | null} fault */
function help(fault) {
  byId("help").hidden = false;
  const said = fault && words(fault);
  byId("fault").textContent = said ? `${said.title} ${said.advice}` : "";
}

byId("start").addEventListener("click", () => void start());
// Where the microphone was allowed before, or for every page, as streaming software can be told; else a click comes first.
const permission = await navigator.permissions?.query({ name: /** @type {any} */ ("microphone") }).catch(() => null);
if (permission?.state === "granted" && options.source === "microphone") void start();
else help(null);
