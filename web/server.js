// What the page asks over HTTP. Invariant: every question is answered, by the server or by the reason why not.

import { refusal } from "./faults.js";

/** @import { Fault } from "./faults.js" */

const TIMEOUT_MS = 8000;

/**
 * The model that is served.
 * @typedef {{name: string, source: string, target: string}} Model
 */

/**
 * @param {string} server @param {string} key
 * @returns {Promise<Model | Fault>}
 */
export async function findModel(server, key) {
  // Streams carry it as a subprotocol, which is a token (RFC 6455).
  if (/[^\w!#$%&'*+.^`|~-]/.test(key)) return { kind: "badKey" };
  const answer = await ask(server, "/v1/models", key);
  const model = answer.body?.data?.[0];
  if (!model) return answer.status ? refusal(answer) : { kind: "unreachable" };
  return { name: model.id, source: model.source_language, target: model.target_language };
}

/**
 * Why a stream cannot be opened, `upgrade` if it could: asks for one without the upgrade, which takes no place.
 * @param {string} server @param {string} key @param {string} model
 * @returns {Promise<Fault>}
 */
export async function explain(server, key, model) {
  const path = `/v1/realtime/translations?model=${encodeURIComponent(model)}`;
  const answer = await ask(server, path, key);
  return answer.status ? refusal(answer) : { kind: "network" };
}

/** @param {string} server @param {string} path @param {string} key */
async function ask(server, path, key) {
  /** @type {Record<string, string>} */
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  try {
    const response = await fetch(new URL(path, server), { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
    const text = await response.text();
    const body = text.startsWith("{") ? JSON.parse(text) : null;
    const retryAfterS = Number(response.headers.get("retry-after") ?? 0);
    return { status: response.status, retryAfterS, message: String(body?.error?.message ?? text), body };
  } catch {
    return { status: 0, retryAfterS: 0, message: "", body: null };
  }
}
