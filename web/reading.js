// How captions are read: size, contrast, with or without the original, filling the screen. Invariant: every choice is a
// class or an attribute of the body; Escape leaves full screen in every browser.

import { byId } from "./elements.js";
import { MAX_SIZE } from "./settings.js";

/** @import { Settings } from "./settings.js" */

/** @param {Settings} settings @param {() => void} keep */
export function initReading(settings, keep) {
  const { body } = document;
  const show = () => {
    body.dataset.size = String(settings.size);
    body.classList.toggle("alone", !settings.original);
    body.classList.toggle("contrast", settings.contrast);
    byId("original").setAttribute("aria-pressed", String(settings.original));
    byId("contrast").setAttribute("aria-pressed", String(settings.contrast));
    byId("smaller", HTMLButtonElement).disabled = settings.size === 0;
    byId("larger", HTMLButtonElement).disabled = settings.size === MAX_SIZE;
  };
  /** @param {string} id @param {() => void} change */
  const on = (id, change) => {
    byId(id).addEventListener("click", () => {
      change();
      show();
      keep();
    });
  };
  on("smaller", () => (settings.size = Math.max(0, settings.size - 1)));
  on("larger", () => (settings.size = Math.min(MAX_SIZE, settings.size + 1)));
  on("original", () => (settings.original = !settings.original));
  on("contrast", () => (settings.contrast = !settings.contrast));
  show();
  initFullScreen();
}

function initFullScreen() {
  const { body } = document;
  const button = byId("fill");
  /** @param {boolean} fills */
  const fill = (fills) => {
    body.classList.toggle("fills", fills);
    button.textContent = fills ? "Leave full screen" : "Full screen";
  };
  button.addEventListener("click", async () => {
    const fills = !body.classList.contains("fills");
    fill(fills);
    // A telephone that has no full screen for pages gets at least all of the page.
    if (fills) await document.documentElement.requestFullscreen?.().catch(() => undefined);
    else if (document.fullscreenElement) await document.exitFullscreen();
  });
  document.addEventListener("fullscreenchange", () => document.fullscreenElement || fill(false));
  document.addEventListener("keydown", ({ key }) => key === "Escape" && body.classList.contains("fills") && button.click());
}
