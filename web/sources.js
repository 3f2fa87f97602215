// Microphone, file or tab to mono blocks at the device's rate. Must be begun in a click: browsers start sound only then.
// Invariant: after `stop` nothing of the device is held, and every sample that was heard has been given.

/** @import { Fault } from "./faults.js" */
import { mediaFault } from "./faults.js";

/**
 * @typedef {{kind: "microphone", deviceId: string, clean: boolean} | {kind: "file", player: HTMLMediaElement} | {kind: "tab"}} Wish
 * @typedef {{rateHz: number, analyser: AnalyserNode, listen: (heed: (samples: Float32Array) => void) => void,
 *   stop: () => Promise<void>}} Source
 */

/** Longest wait for the audio thread's last block. */
const FLUSH_MS = 500;

/**
 * Opens a source.
 * @param {Wish} wish @param {() => void} ended is called if it ends by itself
 * @returns {Promise<Source | Fault>}
 */
export async function openSource(wish, ended) {
  if (!globalThis.isSecureContext) return { kind: "insecure" };
  if (!globalThis.AudioWorkletNode || !navigator.mediaDevices) return { kind: "unsupported" };
  const context = new AudioContext();
  const ready = Promise.all([context.resume(), context.audioWorklet.addModule("pcm-worklet.js")]);
  const input = await openInput(wish, context, ended);
  if ("kind" in input) {
    ready.catch(() => {}); // It may be broken off by the end of its context.
    await context.close();
    return input;
  }
  await ready;
  const tap = new AudioWorkletNode(context, "tap");
  const analyser = new AnalyserNode(context, { fftSize: 1024 });
  input.node.connect(analyser).connect(tap);
  // Silent; some browsers do not run what is not connected to the output.
  tap.connect(context.destination);
  // Only now: the first word of a file must not be lost.
  const fault = await input.begin();
  if (fault) {
    await context.close();
    return fault;
  }
  /** @type {() => void} */
  let flushed = () => {};
  return {
    rateHz: context.sampleRate,
    analyser,
    listen(heed) {
      tap.port.onmessage = ({ data }) => (data ? heed(data) : flushed());
    },
    async stop() {
      input.release();
      const last = new Promise((resolve) => {
        flushed = () => resolve(undefined);
        setTimeout(resolve, FLUSH_MS);
      });
      tap.port.postMessage(null);
      await last;
      await context.close();
    },
  };
}

/**
 * @param {Wish} wish @param {AudioContext} context @param {() => void} ended
 * @returns {Promise<{node: AudioNode, begin: () => Promise<Fault | null>, release: () => void} | Fault>}
 */
async function openInput(wish, context, ended) {
  if (wish.kind === "file") {
    const { player } = wish;
    const node = context.createMediaElementSource(player);
    node.connect(context.destination);
    player.onended = ended;
    /** @returns {Promise<Fault | null>} */
    const begin = () => player.play().then(() => null, (error) => ({ kind: "badFile", message: String(error) }));
    return { node, begin, release: () => player.pause() };
  }
  try {
    const media = navigator.mediaDevices;
    const stream = await (wish.kind === "tab" ? media.getDisplayMedia(TAB) : media.getUserMedia(microphone(wish)));
    const [track] = stream.getAudioTracks();
    const release = () => stream.getTracks().forEach((track) => track.stop());
    if (!track) {
      release();
      return { kind: "noTabAudio" };
    }
    track.onended = ended;
    return { node: context.createMediaStreamSource(stream), begin: async () => null, release };
  } catch (error) {
    return mediaFault(error, wish.kind);
  }
}

/** Browsers share sound only together with a picture, which is ignored. @type {DisplayMediaStreamOptions} */
const TAB = { video: true, audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } };

/**
 * Noise suppression is made for ears: it cuts soft consonants, and recognition suffers. Echo cancellation only helps where
 * loudspeakers are on. So both are off unless asked for; an even level does no harm.
 * @param {{deviceId: string, clean: boolean}} wish
 * @returns {MediaStreamConstraints}
 */
function microphone({ deviceId, clean }) {
  const choice = deviceId ? { deviceId: { exact: deviceId } } : {};
  return { audio: { ...choice, channelCount: 1, echoCancellation: clean, noiseSuppression: clean, autoGainControl: true } };
}

/** Microphones by name; without names before permission was given. */
export async function microphones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.filter(({ kind }) => kind === "audioinput").map(({ deviceId, label }) => ({ deviceId, label }));
}

/** Whether tabs can be shared with their sound: not on telephones. */
export function canShareTabs() {
  return Boolean(navigator.mediaDevices && "getDisplayMedia" in navigator.mediaDevices);
}
