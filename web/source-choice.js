// What a visitor chooses to translate, to a wish for `sources.js`. Invariant: a choice that the browser cannot fulfil is not
// offered, and none can be changed while sound is running.

import { byId } from "./elements.js";
import { canShareTabs, microphones } from "./sources.js";

/** @import { Settings } from "./settings.js" */
/** @import { Wish } from "./sources.js" */

/** @param {Settings} settings @param {() => void} keep @param {() => void} begin starts what was dropped */
export function initSourceChoice(settings, keep, begin) {
  const radios = Array.from(document.querySelectorAll("input[name=source]"), (radio) => /** @type {HTMLInputElement} */ (radio));
  const device = byId("device", HTMLSelectElement);
  const clean = byId("clean", HTMLInputElement);
  const picker = byId("file", HTMLInputElement);
  const kind = () => radios.find(({ checked }) => checked)?.value ?? "microphone";
  /** @type {HTMLMediaElement | null} */
  let player = null;
  /** A player can be tapped once, so each run has its own. @type {File | null} */
  let file = null;

  const show = () => {
    for (const part of document.querySelectorAll(".choice")) {
      /** @type {HTMLElement} */ (part).hidden = /** @type {HTMLElement} */ (part).dataset.source !== kind();
    }
  };
  /** @param {string} value */
  const choose = (value) => {
    for (const radio of radios) radio.checked = radio.value === value;
    show();
  };
  /** @param {File | undefined} chosen */
  const take = (chosen) => {
    if (!chosen) return;
    file = chosen;
    byId("file-name").textContent = chosen.name;
    choose("file");
  };
  const refresh = async () => {
    const found = await microphones();
    const options = found.filter(({ deviceId }) => deviceId).map(({ deviceId, label }) => new Option(label || "Microphone", deviceId));
    device.replaceChildren(new Option("Default", ""), ...options);
    device.value = options.some(({ value }) => value === settings.deviceId) ? settings.deviceId : "";
  };
  const newPlayer = (/** @type {File} */ file) => {
    if (player) URL.revokeObjectURL(player.src);
    player = new Audio(URL.createObjectURL(file));
    player.controls = true;
    byId("player").replaceChildren(player);
    return player;
  };

  byId("tab-choice").hidden = !canShareTabs();
  clean.checked = settings.clean;
  for (const radio of radios) radio.addEventListener("change", show);
  device.addEventListener("change", () => {
    settings.deviceId = device.value;
    keep();
  });
  clean.addEventListener("change", () => {
    settings.clean = clean.checked;
    keep();
  });
  picker.addEventListener("change", () => take(picker.files?.[0]));
  navigator.mediaDevices?.addEventListener("devicechange", () => void refresh());
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    if (byId("sources", HTMLFieldSetElement).disabled) return;
    take(event.dataTransfer?.files[0]);
    begin();
  });
  show();
  void refresh();

  return {
    /** @returns {Wish | null} null if something has to be chosen first */
    wish() {
      if (kind() === "tab") return { kind: "tab" };
      if (kind() === "file") return file && { kind: "file", player: newPlayer(file) };
      return { kind: "microphone", deviceId: device.value, clean: settings.clean };
    },
    /** Asks for what is missing: a file. */
    ask: () => picker.click(),
    refresh,
    /** @param {boolean} locked */
    lock(locked) {
      byId("sources", HTMLFieldSetElement).disabled = locked;
    },
  };
}
