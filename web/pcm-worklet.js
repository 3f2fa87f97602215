// What the audio graph plays to mono blocks for the page: on the audio thread nothing is done that could be late.
// Invariant: every sample is posted once, in order. The page resamples (an import would not work in every browser here).

const BLOCK_SAMPLES = 1024;

class Tap extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(BLOCK_SAMPLES);
    this.length = 0;
    this.ended = false;
    this.port.onmessage = () => {
      this.post();
      this.port.postMessage(null);
      this.ended = true;
    };
  }

  /** @param {Float32Array[][]} inputs */
  process([channels]) {
    const first = channels?.[0];
    // A source that is paused has no channels: no audio, no time.
    if (channels && first) {
      for (let i = 0; i < first.length; i++) {
        let sum = 0;
        for (const channel of channels) sum += channel[i] ?? 0;
        this.block[this.length++] = sum / channels.length;
        if (this.length === BLOCK_SAMPLES) this.post();
      }
    }
    return !this.ended;
  }

  post() {
    const block = this.block.slice(0, this.length);
    this.port.postMessage(block, [block.buffer]);
    this.length = 0;
  }
}

registerProcessor("tap", Tap);
