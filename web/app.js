// The page: wires sources, translator and what is shown. Invariant: whatever happens, `#status` says what the page does and
// `#notice` what a visitor can do about it.

import { CaptionsView } from "./captions-view.js";
import { byId } from "./elements.js";
import { initExports } from "./export-buttons.js";
import { words } from "./faults.js";
import { LagPlot, Waveform, animate } from "./meters.js";
import { Phrases } from "./phrases.js";
import { initReading } from "./reading.js";
import { explainK, load, save, storage } from "./settings.js";
import { initSourceChoice } from "./source-choice.js";
import { Translator } from "./translator.js";

/** @import { Fault } from "./faults.js" */
/** @import { Change } from "./translator.js" */

/** Phrases that a screen reader may still have to read. */
const MAX_SPOKEN = 6;
/** A slider that is dragged passes many values. */
const K_DELAY_MS = 400;
const KEY = "decalage-key";
const STATES = { connecting: "Connecting …", live: "Listening", waiting: "Connecting again", finishing: "Finishing …" };

const local = storage("localStorage");
const session = storage("sessionStorage");
const settings = load(local);
const keep = () => save(local, settings);
const translator = new Translator(location.origin, heed);
translator.key = session.getItem(KEY) ?? "";
const view = new CaptionsView(byId("captions"), byId("utterances"));
const phrases = new Phrases();
const wave = new Waveform(byId("wave", HTMLCanvasElement), byId("level", HTMLMeterElement));
const plot = new LagPlot(byId("plot", HTMLCanvasElement));
const start = byId("start", HTMLButtonElement);
const choice = initSourceChoice(settings, keep, () => void begin());
const showExports = initExports(translator.captions);
/** @type {"idle" | "running" | "finishing"} */
let phase = "idle";
/** Why there is no connection, as last told: who has dismissed it is not told again. @type {string | undefined} */
let told;

initReading(settings, keep);
initPatience();
// On a telephone the captions need the room.
byId("panel", HTMLDetailsElement).open = matchMedia("(min-width: 56.01rem)").matches;
start.addEventListener("click", () => void (phase === "idle" ? begin() : end()));
byId("notice-close").addEventListener("click", () => notice(null));
byId("clear").addEventListener("click", clear);
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  translator.key = byId("key", HTMLInputElement).value.trim();
  session.setItem(KEY, translator.key);
  void findModel();
});
animate((now) => {
  wave.draw(translator.source?.analyser, now);
  plot.draw(translator.lag, now, translator.heardMs, phase !== "idle");
});
setInterval(showLag, 500);
void findModel();

async function findModel() {
  notice(await translator.findModel());
  showLanguages();
}

/** To be called in a click. */
async function begin() {
  if (phase !== "idle") return;
  const wish = choice.wish();
  if (!wish) return choice.ask();
  notice(null);
  byId("notice-count").textContent = "";
  told = undefined;
  setPhase("running");
  setStatus("connecting", "Starting …");
  const fault = await translator.start(wish, settings.k);
  if (!translator.source) {
    setPhase("idle");
    setStatus("idle", "Ready");
    notice(fault);
    return;
  }
  showLanguages();
  void choice.refresh();
}

/** The first time lets the rest be said, the second time does not wait for it. */
async function end() {
  if (phase === "finishing") return translator.abort();
  setPhase("finishing");
  await translator.finish();
}

function clear() {
  if (!confirm("Clear all text?")) return;
  translator.clear();
  view.clear();
  byId("spoken").replaceChildren();
  byId("welcome").hidden = false;
  showExports();
  setPhase("idle");
  setStatus("idle", "Ready");
  start.focus();
}

/** @param {Change} change */
function heed(change) {
  switch (change.type) {
    case "changed":
      byId("welcome").hidden = true;
      view.show(change.utterance, translator.captions.recent);
      showExports();
      break;
    case "word":
      speak(phrases.add(change.id, change.text));
      break;
    case "utteranceEnd":
      speak(phrases.end(change.id));
      break;
    case "fault":
      notice(change.fault);
      break;
    case "lost":
      if (!byId("notice-count").textContent) notice({ kind: "lost" });
      byId("notice-count").textContent = `${change.lostMs / 1000} s`;
      break;
    case "state":
      showState(change);
  }
}

/** @param {Extract<Change, {type: "state"}>} change */
function showState({ state, fault, retryMs }) {
  byId("countdown").textContent = state === "waiting" ? `in ${Math.ceil((retryMs ?? 0) / 1000)} s` : "";
  if (state === "ended") {
    for (const { id } of translator.captions.recent) speak(phrases.end(id));
    setPhase("idle");
    setStatus("idle", fault ? "Stopped" : "Finished");
  } else setStatus(state, STATES[state]);
  if (state === "finishing") setPhase("finishing");
  if (fault && fault.kind !== told) notice(fault);
  else if (state === "live" && byId("notice").dataset.kind === told) notice(null);
  if (fault || state === "live") told = fault?.kind;
}

/** @param {"idle" | "running" | "finishing"} next */
function setPhase(next) {
  phase = next;
  document.body.dataset.phase = next;
  byId("clear", HTMLButtonElement).disabled = next !== "idle" || translator.captions.recent.length === 0;
  start.textContent = { idle: "Start", running: "Stop", finishing: "Stop now" }[next];
  choice.lock(next !== "idle");
}

/** @param {string} state @param {string} text */
function setStatus(state, text) {
  const status = byId("status");
  status.dataset.state = state;
  if (status.textContent !== text) status.textContent = text;
}

/** @param {Fault | null} fault */
function notice(fault) {
  const box = byId("notice");
  box.hidden = !fault;
  if (!fault) return;
  const said = words(fault);
  box.dataset.kind = fault.kind;
  byId("notice-title").textContent = said.title;
  byId("notice-advice").textContent = said.advice;
  byId("notice-count").textContent = "";
  byId("key-form").hidden = fault.kind !== "key" && fault.kind !== "badKey";
}

/** For screen readers. @param {string} phrase */
function speak(phrase) {
  if (!phrase) return;
  const line = document.createElement("p");
  line.textContent = phrase;
  const spoken = byId("spoken");
  spoken.append(line);
  while (spoken.children.length > MAX_SPOKEN) spoken.firstElementChild?.remove();
}

function showLanguages() {
  const { model } = translator;
  if (!model) return;
  const names = new Intl.DisplayNames("en", { type: "language" });
  const [source, target] = [names.of(model.source), names.of(model.target)];
  view.languages = { source: model.source, target: model.target };
  byId("spoken").lang = model.target;
  byId("languages").textContent = `${source} → ${target}`;
  byId("target-name").textContent = target ?? model.target;
}

function showLag() {
  const { lagMs, serverMs } = translator.lag;
  if (lagMs === null) return;
  byId("lag-value").textContent = byId("lag-short").textContent = `${(lagMs / 1000).toFixed(1)} s`;
  byId("lag-text").textContent = `from speech to its words, ${Math.round(serverMs)} ms of it the server’s`;
}

function initPatience() {
  const slider = byId("k", HTMLInputElement);
  const show = () => {
    byId("k-value").textContent = String(settings.k);
    byId("k-text").textContent = explainK(settings.k);
  };
  slider.value = String(settings.k);
  show();
  let timer = 0;
  slider.addEventListener("input", () => {
    settings.k = Number(slider.value);
    show();
    clearTimeout(timer);
    timer = setTimeout(() => {
      keep();
      translator.setK(settings.k);
    }, K_DELAY_MS);
  });
}
