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
/** And for the audio thread itself: browsers may never answer. */
const START_MS = 8000;

/**
 * Opens a source.
 * @param {Wish} wish @param {(fault?: Fault) => void} ended is called if it ends by itself
 * @param {(fault: Fault | null) => void} interrupted is called when there is no sound for a while, and with null when it is back
 * @returns {Promise<Source | Fault>}
 */
export async function openSource(wish, ended, interrupted) {
  if (!globalThis.isSecureContext) return { kind: "insecure" };
  if (!globalThis.AudioWorkletNode || !navigator.mediaDevices) return { kind: "unsupported" };
  const context = new AudioContext();
  const loaded = settled(context.audioWorklet.addModule("pcm-worklet.js"), "unreachable");
  const running = settled(context.resume(), "interrupted");
  const input = await openInput(wish, context, ended);
  if ("kind" in input) {
    await context.close();
    return input;
  }
  /** @param {Fault} fault */
  const drop = async (fault) => {
    input.release();
    await context.close();
    return fault;
  };
  // The time counts from here: a question for permission may be open for long.
  const fault = (await within(loaded, "unreachable")) ?? (await within(running, "interrupted"));
  if (fault) return drop(fault);
  const tap = new AudioWorkletNode(context, "tap");
  const analyser = new AnalyserNode(context, { fftSize: 1024 });
  input.node.connect(analyser).connect(tap);
  // Silent; some browsers do not run what is not connected to the output.
  tap.connect(context.destination);
  // Only now: the first word of a file must not be lost.
  const refused = await input.begin();
  if (refused) return drop(refused);
  // A call or another program may take the sound away, on telephones above all.
  let isHeard = true;
  const watch = () => {
    if (context.state !== "running") void context.resume().catch(() => {});
    const isNow = context.state === "running" && !input.track?.muted;
    if (isNow !== isHeard) interrupted((isHeard = isNow) ? null : { kind: "interrupted" });
  };
  context.onstatechange = watch;
  if (input.track) input.track.onmute = input.track.onunmute = watch;
  /** @type {() => void} */
  let flushed = () => {};
  return {
    rateHz: context.sampleRate,
    analyser,
    listen(heed) {
      tap.port.onmessage = ({ data }) => (data ? heed(data) : flushed());
    },
    async stop() {
      context.onstatechange = null;
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
 * @param {Wish} wish @param {AudioContext} context @param {(fault?: Fault) => void} ended
 * @returns {Promise<{node: AudioNode, begin: () => Promise<Fault | null>, release: () => void, track?: MediaStreamTrack} | Fault>}
 */
async function openInput(wish, context, ended) {
  if (wish.kind === "file") {
    const { player } = wish;
    const node = context.createMediaElementSource(player);
    node.connect(context.destination);
    player.onended = () => ended();
    player.onerror = () => ended({ kind: "badFile" });
    const release = () => {
      player.onended = player.onerror = null;
      player.pause();
    };
    return { node, begin: () => settled(player.play(), "badFile"), release };
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
    track.onended = () => ended({ kind: "sourceEnded" });
    return { node: context.createMediaStreamSource(stream), begin: async () => null, release, track };
  } catch (error) {
    return mediaFault(error, wish.kind);
  }
}

/** What a rejection means. @param {Promise<void>} promise @param {Fault["kind"]} kind @returns {Promise<Fault | null>} */
function settled(promise, kind) {
  return promise.then(() => null, () => ({ kind }));
}

/** @param {Promise<Fault | null>} promise @param {Fault["kind"]} kind if it takes too long @returns {typeof promise} */
function within(promise, kind) {
  return Promise.race([promise, new Promise((resolve) => setTimeout(resolve, START_MS, { kind }))]);
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

/** Whether tabs can be shared with their sound: not on telephones, nor in Firefox and Safari, which share the picture alone. */
export function canShareTabs() {
  const media = navigator.mediaDevices;
  return Boolean(media && "getDisplayMedia" in media && "suppressLocalAudioPlayback" in media.getSupportedConstraints());
}
