"""Makes the network of `vocoder.py`: speaks sentences with the whole of Kokoro, and learns their envelopes.

Needs requirements-vocoder.txt. Resumes the clips, not the training. On two cores: 250 clips in 12 minutes, then
`--minutes`. Invariant: the evaluation's unseen voices are not among the teacher's (`engines.Kokoro` has none of them).
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from hibari.dsp import HOP, N_FFT, SR, pulses
from torch import nn

import engines
import texts
from vocoder import INPUTS

BANDS = 96
TOP_HZ = 8200
WINDOWS = [(600, 240), (1200, 300)]  # the recogniser's, and one that tells harmonics apart
CLIP_FRAMES, BATCH, HELD_OUT = 80, 10, 12


def mel(hz):
    return 1127 * np.log1p(np.asarray(hz) / 700)


def interpolation() -> torch.Tensor:
    """(601 bins, BANDS): from bands that are even in mel to the bins; above TOP_HZ the last one goes on."""
    centres = np.linspace(0, mel(TOP_HZ), BANDS)
    at = np.interp(mel(np.arange(N_FFT // 2 + 1) * SR / N_FFT), centres, np.arange(BANDS))
    return torch.from_numpy(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(BANDS))).astype(np.float32))


def filters(n_fft: int) -> torch.Tensor:
    """(80, bins): triangles in mel between 20 Hz and 8 kHz."""
    edges, bins = np.linspace(mel(20), mel(8000), 82), mel(np.arange(n_fft // 2 + 1) * SR / n_fft)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
    return torch.from_numpy(np.maximum(0, triangles).astype(np.float32))


class Envelopes(nn.Module):
    """Features (batch, 512, frames), f0 (batch, frames), style (batch, 128) -> log envelopes (batch, 601, frames)."""

    def __init__(self, width: int = 256, blocks: int = 5):
        super().__init__()
        self.enter = nn.Conv1d(512 + 3, width, 3, padding=1)
        self.style = nn.Linear(128, blocks * 2 * width)
        self.wide = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2) for _ in range(blocks))
        self.narrow = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(blocks))
        self.leave = nn.Conv1d(width, 2 * BANDS, 3, padding=1)
        nn.init.constant_(self.leave.bias, -5.0)
        self.register_buffer("mean", torch.zeros(512, 1))
        self.register_buffer("scale", torch.ones(512, 1))
        self.register_buffer("bins", interpolation())

    def forward(self, features, f0, style):
        voiced, octave = (f0 > 40).float(), torch.log(f0.clamp(min=40) / 200)
        pitch = torch.stack([voiced, octave * voiced, 0.2 * torch.log1p(f0.abs())], 1)
        hidden = self.enter(torch.cat([(features - self.mean) * self.scale, pitch], 1))
        gain, shift = self.style(style).reshape(style.shape[0], len(self.wide), 2, -1, 1).unbind(2)
        for i, (wide, narrow) in enumerate(zip(self.wide, self.narrow)):
            hidden = hidden + narrow(F.gelu(wide(hidden) * (1 + gain[:, i]) + shift[:, i]))
        harmonic, noise = self.leave(hidden).clamp(max=6).split(BANDS, 1)
        return self.bins @ harmonic, self.bins @ noise


def stft(wave, n_fft, hop, window):
    return torch.stft(wave, n_fft, hop, window=window, return_complex=True)


def speak(envelopes, features, f0, style, pulse):
    """`vocoder.synthesise` in torch."""
    frames, window = f0.shape[-1], torch.hann_window(N_FFT)
    harmonic, noise = envelopes(features, f0, style)
    sources = [stft(x, N_FFT, HOP, window / (N_FFT / 4))[..., :frames] for x in (pulse, torch.randn_like(pulse))]
    spectrum = torch.exp(harmonic) * sources[0] + torch.exp(noise) * sources[1]
    return torch.istft(F.pad(spectrum, (0, 1)) * (N_FFT / 4), N_FFT, HOP, window=window, length=frames * HOP)


def distance(ours, theirs, banks):
    """Mean difference of log mel powers. abs() of a complex zero has no gradient, so squares are taken of the parts."""

    def log_mel(wave, n_fft, hop):
        parts = torch.view_as_real(stft(wave, n_fft, hop, torch.hann_window(n_fft)))
        return torch.log(banks[n_fft] @ parts.pow(2).sum(-1) + 1e-4)[..., 4:-4]

    return sum((log_mel(ours, *w) - log_mel(theirs, *w)).abs().mean() for w in WINDOWS) / len(WINDOWS)


def tapped(network: Path) -> onnx.ModelProto:
    """The network, with what its generator is given among its outputs."""
    model = onnx.load(network)
    for name in INPUTS.values():
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return model


class Listener:
    """A session of the whole network that keeps what its generator was given, and what it made of it."""

    def __init__(self, model: onnx.ModelProto, options):
        import onnxruntime

        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        self.heard = None

    def run(self, _outputs, feed):
        audio, features, f0, style = self.session.run(["audio", *INPUTS.values()], feed)
        self.heard = {"audio": audio, "features": features[0].astype(np.float16), "f0": f0.ravel(), "style": style.ravel()}
        return [audio]


def teach(folder: Path, sentences: list[str], clips: Path) -> None:
    """One file for each sentence (its last phrase), each in a voice of its own."""
    kokoro = engines.Kokoro(folder)
    kokoro.session = Listener(tapped(folder / "kokoro.onnx"), kokoro.options)
    clips.mkdir(exist_ok=True)
    for number, sentence in enumerate(sentences):
        file, draw = clips / f"{number:04}.npz", np.random.default_rng([77, number])
        if not file.exists():
            kokoro.speak(sentence, kokoro.speaker(draw), draw)
            np.savez(file.with_suffix(".tmp.npz"), **kokoro.session.heard)
            file.with_suffix(".tmp.npz").rename(file)


def load(file: Path) -> dict[str, torch.Tensor]:
    clip = dict(np.load(file))
    clip["pulses"] = pulses(clip["f0"])
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in clip.items()}


def excerpt(clip, draw):
    """CLIP_FRAMES of it, with silence behind what is shorter."""
    begin = int(draw.integers(max(1, len(clip["f0"]) - CLIP_FRAMES)))

    def cut(name, samples):
        part = clip[name][..., begin * samples : (begin + CLIP_FRAMES) * samples]
        return F.pad(part, (0, CLIP_FRAMES * samples - part.shape[-1]))

    return cut("features", 1), cut("f0", 1), clip["style"], cut("pulses", HOP), cut("audio", HOP)


def train(clips: list[dict], minutes: float) -> Envelopes:
    """Adam at 7e-4, down to nothing along half a cosine. Twice that rate ended in silence."""
    draw, banks = np.random.default_rng(1), {n_fft: filters(n_fft) for n_fft, _ in WINDOWS}
    torch.manual_seed(1)
    held_out, clips = clips[:HELD_OUT], clips[HELD_OUT:]
    features = torch.cat([clip["features"] for clip in clips], 1)
    network = Envelopes()
    network.mean.copy_(features.mean(1, keepdim=True))
    network.scale.copy_(1 / (features.std(1, keepdim=True) + 1e-3))
    optimizer = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.98))
    lengths = np.asarray([len(clip["f0"]) for clip in clips], float)
    begin, step = time.monotonic(), 0
    while (done := (time.monotonic() - begin) / 60 / minutes) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 7e-4 * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * done))
        chosen = draw.choice(len(clips), BATCH, p=lengths / lengths.sum())
        *given, theirs = (torch.stack(parts) for parts in zip(*(excerpt(clips[i], draw) for i in chosen)))
        loss = distance(speak(network, *given), theirs, banks)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 3.0)
        optimizer.step()
        step += 1
        if step % 100 == 0:
            with torch.no_grad():
                names = ("features", "f0", "style", "pulses", "audio")
                wholes = [[clip[name][None] for name in names] for clip in held_out]
                mean = np.mean([distance(speak(network, *given), theirs, banks) for *given, theirs in wholes])
            print(f"{step} steps, {done * minutes:.1f} min: {loss.item():.3f}, held out {mean:.3f}", flush=True)
    return network


def export(network: Envelopes, file: Path) -> None:
    frames = 50
    example = torch.zeros(1, 512, frames), torch.zeros(1, frames), torch.zeros(1, 128)
    axes = {name: {2 if name != "f0" else 1: "frames"} for name in ("features", "f0", "harmonic", "noise")}
    torch.onnx.export(
        network.eval(), example, file, input_names=["features", "f0", "style"],
        output_names=["harmonic", "noise"], dynamic_axes=axes, dynamo=False,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True, help="folder of the text files")
    parser.add_argument("--kokoro", type=Path, required=True, help="folder that kokoro_files.py made; the results go there")
    parser.add_argument("--clips", type=int, default=260)
    parser.add_argument("--minutes", type=float, default=15.0, help="time to train for")
    args = parser.parse_args()

    extractor = onnx.utils.Extractor(tapped(args.kokoro / "kokoro.onnx"))
    onnx.save(extractor.extract_model(["tokens", "style", "speed"], list(INPUTS.values())), args.kokoro / "front.onnx")
    sentences = [s.english for s in texts.sentences(args.texts, "tatoeba", 1) if 4 <= len(s.english.split()) <= 14]
    teach(args.kokoro, sentences[-args.clips :], args.kokoro / "clips")
    files = sorted((args.kokoro / "clips").glob("????.npz"))[: args.clips]
    export(train([load(file) for file in files], args.minutes), args.kokoro / "vocoder.onnx")


if __name__ == "__main__":
    main()
