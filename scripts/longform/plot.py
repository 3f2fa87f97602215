"""Sentences that OmniSTEval found in a long translation -> how far behind each one was, over the time of the recording.

A sentence's lag is its length-adaptive average lagging (Papi et al. 2022) against its own start, as in LongLAAL. Lines that
rise say that the translator falls behind.
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np


def lag_s(sentence: dict) -> float | None:
    """LAAL of one sentence in seconds; None if nothing was said for it."""
    delays_ms, length_ms = np.asarray(sentence["emission_cu"]), sentence["source_length"]
    if not len(delays_ms):
        return None
    words = max(len(delays_ms), len(sentence["reference"].split()))
    late = np.flatnonzero(delays_ms >= length_ms)
    last = late[0] + 1 if len(late) else len(delays_ms)
    return float((delays_ms[:last] - np.arange(last) * length_ms / words).mean() / 1000)


def robust_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The median slope between any two points (Theil 1950, Sen 1968) and its level: a word that the search for sentences gave
    to the wrong one makes an outlier of seconds."""
    first, second = np.triu_indices(len(x), 1)
    slope = np.median((y[second] - y[first]) / (x[second] - x[first]))
    return slope, np.median(y - slope * x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with segments.json and kK/instances.resegmented.jsonl")
    parser.add_argument("k", nargs="+")
    args = parser.parse_args()
    starts_s = [segment["offset"] for segment in json.loads((args.folder / "segments.json").read_text())]
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    for k in args.k:
        lines = (args.folder / f"k{k}" / "instances.resegmented.jsonl").read_text(encoding="utf-8").splitlines()
        lags = [(start_s / 60, lag) for start_s, line in zip(starts_s, lines) if (lag := lag_s(json.loads(line))) is not None]
        minutes, lags_s = map(np.asarray, zip(*lags))
        slope, level = robust_line(minutes, lags_s)
        points = axes.plot(minutes, lags_s, ".", markersize=5)
        axes.plot(minutes, slope * minutes + level, color=points[0].get_color(), label=f"k = {k}: {slope:+.3f} s a minute")
        print(f"k = {k}: median lag {np.median(lags_s):.2f} s, slope {slope:+.3f} s a minute, "
              f"{len(lines) - len(lags)} of {len(lines)} sentences without a word")
    axes.set(title="How far behind, sentence by sentence", xlabel="minute of the recording", ylabel="average lagging (s)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(args.folder / "lag.png", dpi=120)


if __name__ == "__main__":
    main()
