"""Kokoro with a small vocoder in place of its generator, which is nine tenths of what it computes.

The vocoder shapes a pulse train and noise (as hibari's synthesis does), so pitch can be set freely. `vocoder_train.py`
makes its network.

    S = exp(harmonic) STFT(pulses(f0)) + exp(noise) STFT(white noise)
"""

from pathlib import Path

import numpy as np

# What the generator is given: (1, 512, frames) features, f0 in Hz (1, 1, frames) and the speaker's half of the style
# (1, 128). A frame is 12.5 ms.
INPUTS = {
    "features": "/decoder/decoder/decode.3/Div_4_output_0",
    "f0": "/decoder/decoder/Unsqueeze_output_0",
    "style": "/decoder/Slice_output_0",
}


class SmallVocoder:
    """Stands in for the session of the whole network. `pitch` (a factor) is that of what it says next."""

    def __init__(self, folder: Path, options):
        import onnxruntime

        self.front = onnxruntime.InferenceSession(str(folder / "front.onnx"), options)
        self.envelopes = onnxruntime.InferenceSession(str(folder / "vocoder.onnx"), options)
        self.pitch = 1.0
        self.draw = np.random.default_rng(0)

    def run(self, _outputs, feed):
        """The same inputs and the same one output as the whole network: [24 kHz samples]."""
        features, f0, style = self.front.run(list(INPUTS.values()), feed)
        f0 = f0.reshape(1, -1)
        harmonic, noise = self.envelopes.run(None, {"features": features, "f0": f0, "style": style})
        return [synthesise(harmonic[0], noise[0], f0[0] * np.float32(self.pitch), self.draw)]


def synthesise(harmonic: np.ndarray, noise: np.ndarray, f0: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Log envelopes (601, frames) and f0 (frames) -> samples at 24 kHz."""
    from hibari import dsp

    frames = len(f0)
    white = draw.standard_normal(frames * dsp.HOP, dtype=np.float32)
    spectrum = dsp.ex(harmonic) * dsp.stft(dsp.pulses(f0), frames) + dsp.ex(noise) * dsp.stft(white, frames)
    return dsp.ola(spectrum * np.float32(dsp.N_FFT / 4))  # its forward transform has divided by this
