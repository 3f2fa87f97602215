// The native dialect, as `proto/README.md` describes it: messages to plain events and back. Pure; the page's only
// knowledge of the wire. Invariant: an event that is not known is passed over, never an error.

/** Samples a second of the audio that is sent. */
export const RATE_HZ = 16_000;
export const SAMPLES_PER_MS = RATE_HZ / 1000;

/**
 * What the server says. Times are milliseconds of audio since the session's first sample.
 * @typedef {{type: "opened", model: string} | {type: "updated"}
 *   | {type: "source", text: string, startMs: number, endMs: number}
 *   | {type: "word", text: string, startMs: number, endMs: number}
 *   | {type: "lag", lagMs: number}
 *   | {type: "speechStarted", startMs: number}
 *   | {type: "speechStopped", startMs: number, endMs: number}
 *   | {type: "tentative", text: string}
 *   | {type: "goAway", timeLeftMs: number}
 *   | {type: "marked", mark: number}
 *   | {type: "error", message: string}
 *   | {type: "closed"}
 *   | {type: "unknown"}} ServerEvent
 */

/**
 * How a connection ended. After `lost` another one may fare better.
 * @typedef {{type: "ended", kind: "finished" | "lost" | "failed", message: string}} Ending
 */

/**
 * Where a session is opened.
 * @param {string} base address of the server
 * @param {{model: string, k: number}} options `k`: lag of the wait-k policy, in words of what is heard
 */
export function sessionUrl(base, { model, k }) {
  const url = new URL("/v1/realtime/translations", base);
  url.protocol = url.protocol.replace("http", "ws");
  const parameters = { model, input_format: "pcm16", rate: `${RATE_HZ}`, k: `${k}`, ext: "lag,vad,tentative,go_away" };
  url.search = `${new URLSearchParams(parameters)}`;
  return url.href;
}

/**
 * The subprotocols to offer: browsers cannot set headers on a websocket, so the key travels here.
 * @param {string} key empty if there is none
 */
export function subprotocols(key) {
  return key ? ["realtime", `openai-insecure-api-key.${key}`] : ["realtime"];
}

/** Asks for the source text too. @param {string} model */
export function transcribe(model) {
  return JSON.stringify({ type: "session.update", session: { audio: { input: { transcription: { model } } } } });
}

/** Answered by `marked` once all audio before it has been worked off. @param {number} mark */
export function mark(mark) {
  return JSON.stringify({ type: "session.mark", mark });
}

/** No more audio will come: the rest of the text follows, then `closed`. */
export function close() {
  return JSON.stringify({ type: "session.close" });
}

/**
 * Reads a message of the server's.
 * @param {string} text
 * @returns {ServerEvent}
 */
export function decode(text) {
  /** @type {Record<string, any>} */
  const message = JSON.parse(text);
  const span = { startMs: message.src_start_ms ?? 0, endMs: message.src_end_ms ?? 0 };
  switch (message.type) {
    case "session.created":
      return { type: "opened", model: message.session.model };
    case "session.updated":
      return { type: "updated" };
    case "session.input_transcript.delta":
      return { type: "source", text: message.delta, ...span };
    case "session.output_transcript.delta":
      return { type: "word", text: message.delta, ...span };
    case "session.metrics":
      return { type: "lag", lagMs: message.lag_ms };
    case "session.speech_started":
      return { type: "speechStarted", startMs: message.start_ms };
    case "session.speech_stopped":
      return { type: "speechStopped", startMs: message.start_ms, endMs: message.end_ms };
    case "session.tentative.delta":
      return { type: "tentative", text: message.text };
    case "session.go_away":
      return { type: "goAway", timeLeftMs: message.time_left_ms };
    case "session.marked":
      return { type: "marked", mark: message.mark };
    case "session.closed":
      return { type: "closed" };
    case "error":
      return { type: "error", message: message.error.message };
    default:
      return { type: "unknown" };
  }
}

/** Codes after which the same would happen again; of the others the connection, or the server, was to blame. */
const FATAL = ["invalid_message", "unsupported_data", "undecodable_audio", "message_too_large"];

/**
 * What the close frame means.
 * @param {{reason: string}} frame
 * @param {{closed: boolean, message: string}} said whether `closed` came, and the text of the last error
 * @returns {Ending}
 */
export function ending({ reason }, { closed, message }) {
  if (closed) return { type: "ended", kind: "finished", message: "" };
  return { type: "ended", kind: FATAL.includes(reason) ? "failed" : "lost", message: message || reason };
}
