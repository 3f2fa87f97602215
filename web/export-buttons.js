// Buttons to text: copied, or saved as a file. Invariant: what is saved is what the captions hold.

import { byId } from "./elements.js";
import { srt, txt, vtt } from "./export.js";

/** @import { Captions } from "./captions.js" */

const FORMATS = { txt, srt, vtt };
const COPIED_MS = 1500;

/** @param {Captions} captions @returns {() => void} to be called when they change */
export function initExports(captions) {
  const side = byId("side", HTMLSelectElement);
  const chosen = () => /** @type {"source" | "target"} */ (side.value);
  const copy = byId("copy", HTMLButtonElement);
  const buttons = [copy];
  copy.addEventListener("click", async () => {
    // Refused, or missing where the page is not secure.
    const copied = await navigator.clipboard?.writeText(txt(captions.all, chosen())).then(() => true, () => false);
    copy.textContent = copied ? "Copied" : "Blocked";
    setTimeout(() => (copy.textContent = "Copy"), COPIED_MS);
  });
  for (const [name, write] of Object.entries(FORMATS)) {
    const button = byId(name, HTMLButtonElement);
    button.setAttribute("aria-label", `Save as ${name}`);
    button.addEventListener("click", () => save(`translation.${name}`, write(captions.all, chosen())));
    buttons.push(button);
  }
  return () => {
    for (const button of buttons) button.disabled = captions.recent.length === 0;
    byId("dropped").textContent = captions.dropped ? `without the first ${captions.dropped} sentences` : "";
  };
}

/** @param {string} name @param {string} text */
function save(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  link.download = name;
  link.click();
  // The browser reads it some time after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
