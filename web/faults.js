// What went wrong to plain words: what it is, and what to do. Pure.

/**
 * `retry: false`: trying again by itself would not help. `retryMs`: the server asks for this much patience.
 * @typedef {{kind: FaultKind, message?: string, retry?: boolean, retryMs?: number}} Fault
 * @typedef {keyof typeof WORDS} FaultKind
 */

export const WORDS = {
  insecure: ["This page is not secure.", "Browsers give sound only to pages over https, or on localhost. Open it there."],
  unsupported: ["This browser cannot do this.", "Use a current Chrome, Edge, Firefox or Safari."],
  noMicrophone: ["No microphone was found.", "Connect one, or translate a file."],
  denied: ["The microphone is blocked.", "Allow it in the address bar of your browser, then start again."],
  busy: ["The microphone cannot be used.", "Another program may be using it. Close that one, or choose another microphone."],
  interrupted: ["The sound is interrupted.", "A call or another program may have it; Firefox also needs a loudspeaker. If it does not come back, start again."],
  sourceEnded: ["The sound has ended.", "The microphone was unplugged, or sharing was stopped."],
  noTabAudio: ["The shared tab has no sound.", "Share once more and tick “Also share tab audio”."],
  shareCancelled: ["Nothing was shared.", "Choose a tab to translate what it plays."],
  badFile: ["This file cannot be played.", "Choose another sound or video file, such as mp3, m4a, wav, ogg or mp4."],
  unreachable: ["No connection to the server.", "Start again once it can be reached."],
  network: ["No connection to the server.", "What is said is kept for two minutes and sent once the connection is back."],
  upgrade: ["Something between page and server lets no websocket through.", "A proxy has to pass on Upgrade and Connection, and Host unchanged."],
  lost: ["Some of the sound is lost.", "There was no connection for longer than the two minutes that are kept:"],
  full: ["The server is full.", "A place may become free at any moment; what is said is kept for two minutes."],
  stopping: ["The server is being stopped.", "The page connects again as soon as there is one."],
  key: ["This server asks for a key.", "Enter the key that you were given."],
  badKey: ["This key cannot be used in a browser.", "One that can has only letters, digits and !#$%&'*+-.^_`|~ in it."],
  failed: ["The server has ended the translation.", ""],
};

/**
 * Title and advice.
 * @param {Fault} fault
 * @returns {{title: string, advice: string}}
 */
export function words({ kind, message }) {
  const [title, advice] = /** @type {[string, string]} */ (WORDS[kind]);
  return { title, advice: advice || message || "" };
}

/**
 * Why a browser gives no sound.
 * @param {unknown} error what `getUserMedia` or `getDisplayMedia` threw
 * @param {"microphone" | "tab"} source
 * @returns {Fault}
 */
export function mediaFault(error, source) {
  const name = error instanceof Error ? error.name : "";
  if (name === "NotAllowedError") return { kind: source === "tab" ? "shareCancelled" : "denied" };
  if (name === "NotFoundError" || name === "OverconstrainedError") return { kind: "noMicrophone" };
  if (name === "NotReadableError" || name === "AbortError") return { kind: "busy" };
  return { kind: "unsupported" };
}

/**
 * Why the server refuses a stream, from its answer to the same request without an upgrade.
 * @param {{status: number, retryAfterS: number, message: string}} answer
 * @returns {Fault}
 */
export function refusal({ status, retryAfterS, message }) {
  const retryMs = 1000 * retryAfterS;
  if (status === 401) return { kind: "key", retry: false, message };
  if (status === 429 || (status === 503 && !message.includes("stopping"))) return { kind: "full", retryMs, message };
  if (status === 503) return { kind: "stopping", retryMs, message };
  // Only the upgrade is missing: a stream would be taken.
  if (status === 400 || status === 426) return { kind: "upgrade", message };
  if (status >= 500) return { kind: "network", message };
  return { kind: "failed", retry: false, message };
}
