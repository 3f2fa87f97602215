"""A seed -> a bank of noise clips and of room responses that a trainer mixes with clean speech on the fly.

Invariant: clips are 16 kHz mono FLAC with a peak of 0.5; a room response starts with its direct sound.
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile

import audio
import manifest
from build import generator

CLIP_S = 20
COLOURS = {"white": 0.0, "pink": -0.5, "brown": -1.0}
REVERBERATION_S = (0.12, 0.8)
DIRECT_TO_REVERBERANT_DB = (0.0, 15.0)


def coloured(exponent: float, draw: np.random.Generator) -> np.ndarray:
    """Noise whose amplitude falls with frequency to the given exponent, flat below 20 Hz."""
    samples = CLIP_S * audio.RATE_HZ
    spectrum = np.fft.rfft(draw.standard_normal(samples))
    hertz = np.fft.rfftfreq(samples, 1 / audio.RATE_HZ)
    return np.fft.irfft(spectrum * np.maximum(hertz, 20.0) ** exponent, samples)


def hum(draw: np.random.Generator) -> np.ndarray:
    """Mains of 50 or 60 Hz with 12 harmonics of drawn strength and phase."""
    time_s = np.arange(CLIP_S * audio.RATE_HZ) / audio.RATE_HZ
    mains_hz = draw.choice([50.0, 60.0])
    harmonics = [
        draw.uniform(0.1, 1.0) / order * np.sin(2 * np.pi * (order * mains_hz * time_s + draw.uniform()))
        for order in range(1, 13)
    ]
    return np.sum(harmonics, axis=0)


def babble(clips: list[Path], draw: np.random.Generator) -> np.ndarray:
    """Four to eight talkers at once, each a chain of drawn clips at equal level."""
    total = np.zeros(CLIP_S * audio.RATE_HZ)
    for _ in range(draw.integers(4, 9)):
        talker = np.zeros(0)
        while len(talker) < len(total):
            wave, _ = soundfile.read(clips[draw.integers(len(clips))])
            talker = np.concatenate([talker, wave / (wave.std() + 1e-6)])
        total += talker[: len(total)]
    return total


def room(draw: np.random.Generator) -> np.ndarray:
    """Direct sound, then low-passed noise that decays by 60 dB in the drawn reverberation time."""
    decay_s = draw.uniform(*REVERBERATION_S)
    samples = int(decay_s * audio.RATE_HZ)
    tail = draw.standard_normal(samples) * 10 ** (-3 * np.arange(samples) / samples)
    tail[: int(draw.uniform(0.001, 0.01) * audio.RATE_HZ)] = 0.0
    smooth = draw.uniform(0.0, 0.6)
    tail[1:] = (1 - smooth) * tail[1:] + smooth * tail[:-1]
    ratio = 10 ** (-draw.uniform(*DIRECT_TO_REVERBERANT_DB) / 20)
    response = tail * ratio / np.sqrt((tail**2).sum())
    response[0] = 1.0
    return response


def write_bank(folder: Path, kind: str, count: int, seed: int, make) -> None:
    """`count` clips of one kind, each from its own random draw."""
    for number in range(count):
        wave = make(generator(seed, kind, number))
        path = folder / f"{kind}-{number:03d}.flac"
        audio.write_flac(path, (0.5 * wave / np.abs(wave).max()).astype(np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="a manifest whose clips make the babble")
    parser.add_argument("--noise", type=Path, required=True, help="folder of the noise clips")
    parser.add_argument("--rooms", type=Path, required=True, help="folder of the room responses")
    parser.add_argument("--count", type=int, default=12, help="clips of each kind of noise")
    parser.add_argument("--rooms-count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    for colour, exponent in COLOURS.items():
        write_bank(args.noise, colour, args.count, args.seed, lambda draw, e=exponent: coloured(e, draw))
    write_bank(args.noise, "hum", args.count, args.seed, hum)
    clips = [args.speech.parent / row["audio"] for row in manifest.read(args.speech)]
    write_bank(args.noise, "babble", 2 * args.count, args.seed, lambda draw: babble(clips, draw))
    write_bank(args.rooms, "room", args.rooms_count, args.seed, room)


if __name__ == "__main__":
    main()
