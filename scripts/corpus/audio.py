"""Waveform of any engine -> a clip of the corpus: 16 kHz mono PCM16 FLAC, trimmed, at a drawn level.

Invariant: a file with its final name is complete (it is written beside and renamed).
"""

import os
from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE_HZ = 16_000
FRAME_SAMPLES = RATE_HZ // 100
SILENCE_DB = -45.0
EDGE_S = (0.05, 0.30)
LEVEL_DBFS = (-32.0, -16.0)
PEAK = 0.97


def to_rate(wave: np.ndarray, rate_hz: float) -> np.ndarray:
    """Resamples from any rate; a rate that is not the true one shifts formants, pitch and tempo together."""
    if rate_hz == RATE_HZ:
        return wave.astype(np.float32)
    return soxr.resample(wave.astype(np.float32), rate_hz, RATE_HZ)


def frame_levels(wave: np.ndarray) -> np.ndarray:
    """Root mean square of each whole 10 ms frame."""
    frames = wave[: len(wave) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    return np.sqrt((frames.astype(np.float64) ** 2).mean(axis=1))


def trim(wave: np.ndarray, lead_s: float, tail_s: float) -> np.ndarray:
    """Leaves exactly `lead_s` and `tail_s` around the speech, cutting or adding silence. Empty if nothing sounds."""
    levels = frame_levels(wave)
    if not len(levels) or levels.max() == 0.0:
        return np.zeros(0, np.float32)
    loud = np.flatnonzero(levels > levels.max() * 10 ** (SILENCE_DB / 20))
    begin = int(loud[0]) * FRAME_SAMPLES - int(lead_s * RATE_HZ)
    end = (int(loud[-1]) + 1) * FRAME_SAMPLES + int(tail_s * RATE_HZ)
    missing = max(0, -begin)
    padded = np.pad(wave, (missing, max(0, end - len(wave))))
    return padded[begin + missing : end + missing].astype(np.float32)


def finish(wave: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Trims, and sets the level of the speech; silence is never exact zero."""
    wave = trim(wave, draw.uniform(*EDGE_S), draw.uniform(*EDGE_S))
    if not len(wave):
        return wave
    levels = frame_levels(wave)
    speech = np.sqrt((levels[levels > levels.max() * 0.03] ** 2).mean())
    return at_level(wave, speech, LEVEL_DBFS, draw)


def at_level(wave: np.ndarray, level: float, range_dbfs: tuple[float, float], draw: np.random.Generator) -> np.ndarray:
    """Brings what has this level to a drawn one, short of clipping, and adds dither of one PCM16 step."""
    gain = min(10 ** (draw.uniform(*range_dbfs) / 20) / level, PEAK / np.abs(wave).max())
    return wave * wave.dtype.type(gain) + draw.uniform(-1, 1, len(wave)).astype(wave.dtype) / 32768


def write_flac(path: Path, wave: np.ndarray) -> None:
    """Writes PCM16 at 16 kHz under a temporary name and renames it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    soundfile.write(partial, wave, RATE_HZ, format="FLAC", subtype="PCM_16")
    os.replace(partial, path)
