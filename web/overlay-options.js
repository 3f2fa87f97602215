// The overlay's address to its settings. Pure. Invariant: whatever the address says, every setting is an allowed value.

import { DEFAULTS, MAX_K, whole } from "./settings.js";

/** @param {URLSearchParams} query */
export function parse(query) {
  /** @param {string} name @param {string} otherwise */
  const colour = (name, otherwise) => {
    const value = query.get(name) ?? "";
    return /^([0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})$/i.test(value) ? `#${value}` : otherwise;
  };
  /** @template {string} T @param {string} name @param {T[]} allowed @returns {T} */
  const one = (name, allowed) => allowed.find((value) => value === query.get(name)) ?? /** @type {T} */ (allowed[0]);
  return {
    source: one("source", ["microphone", "tab"]),
    device: query.get("device") ?? "",
    k: whole(query.get("k"), 1, MAX_K, DEFAULTS.k),
    lines: whole(query.get("lines"), 1, 6, 2),
    size: whole(query.get("size"), 12, 200, 48),
    colour: colour("colour", "#fff"),
    outline: colour("outline", "#000"),
    background: colour("background", "transparent"),
    align: one("align", ["center", "left", "right"]),
    side: /** @type {"source" | "target"} */ (one("text", ["translation", "original"]) === "original" ? "source" : "target"),
  };
}
