// What a visitor has chosen, kept in the browser. Pure but for the storage that it is given.
// Invariant: whatever is stored, every setting is one of its allowed values. The key is not among them.

export const DEFAULTS = {
  /** Lag of the wait-k policy. */
  k: 3,
  deviceId: "",
  /** Echo cancellation and noise suppression. */
  clean: false,
  /** Show what was said beside the translation. */
  original: true,
  /** Size of the captions, in steps. */
  size: 2,
  /** White on black while captions fill the screen. */
  contrast: false,
};
export const MAX_K = 9;
export const MAX_SIZE = 6;
const NAME = "decalage";

/** @typedef {typeof DEFAULTS} Settings */
/** @typedef {Pick<Storage, "getItem" | "setItem">} Store */

/** One that forgets where a browser forbids even to look. @param {"localStorage" | "sessionStorage"} name @returns {Store} */
export function storage(name) {
  try {
    return globalThis[name];
  } catch {
    return { getItem: () => null, setItem() {} };
  }
}

/** @param {Store} store @returns {Settings} */
export function load(store) {
  try {
    return valid(JSON.parse(store.getItem(NAME) ?? "{}"));
  } catch {
    // Damaged.
    return valid(null);
  }
}

/** @param {Store} store @param {Settings} settings */
export function save(store, settings) {
  try {
    store.setItem(NAME, JSON.stringify(settings));
  } catch {
    // Full: the settings hold until the page is closed.
  }
}

/** @param {any} stored @returns {Settings} */
export function valid(stored) {
  const bool = (/** @type {"clean" | "original" | "contrast"} */ name) => {
    return typeof stored?.[name] === "boolean" ? stored[name] : DEFAULTS[name];
  };
  return {
    k: whole(stored?.k, 1, MAX_K, DEFAULTS.k),
    deviceId: typeof stored?.deviceId === "string" ? stored.deviceId : DEFAULTS.deviceId,
    clean: bool("clean"),
    original: bool("original"),
    size: whole(stored?.size, 0, MAX_SIZE, DEFAULTS.size),
    contrast: bool("contrast"),
  };
}

/** @param {unknown} value @param {number} least @param {number} most @param {number} otherwise */
export function whole(value, least, most, otherwise) {
  const number = typeof value === "string" && value !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isInteger(number) && number >= least && number <= most ? number : otherwise;
}

/** A segment of the model: the unit of k. */
const SEGMENT_MS = 320;

/** The slider's value in words. @param {number} k */
export function explainK(k) {
  const seconds = ((k * SEGMENT_MS) / 1000).toFixed(1);
  const taste = k <= 2 ? "Soonest, with more mistakes." : k >= 6 ? "Calmest and most accurate." : "A good balance.";
  return `Listens to ${seconds} s of speech before the first word, then keeps that distance. ${taste}`;
}
