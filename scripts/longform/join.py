"""Passages with the times of their sentences -> one long recording, its manifest, and what OmniSTEval needs to score it.

Invariant: nothing marks where passages or sentences begin but a second of quiet between passages, as on a stage.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[1] / "corpus"))

from manifest import read

RATE_HZ = 16_000
PAUSE_S = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("passages", type=Path, help="manifest; PASSAGES.segments.tsv lies beside it")
    parser.add_argument("out", type=Path, help="folder for the recording")
    parser.add_argument("--minutes", type=float, default=10, help="take whole passages until it lasts so long")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    sentences = read(args.passages.with_suffix(".segments.tsv"))
    draw = np.random.default_rng(1)
    waves, segments, taken_s = [], [], 0.0
    for row in read(args.passages):
        if taken_s >= 60 * args.minutes:
            break
        wave, rate_hz = soundfile.read(args.passages.parent / row["audio"], dtype="float32")
        if rate_hz != RATE_HZ or wave.ndim != 1:
            raise SystemExit(f"{row['audio']}: needed is {RATE_HZ} Hz and one channel")
        for sentence in (sentence for sentence in sentences if sentence["id"] == row["id"]):
            segments.append({**sentence, "start_s": taken_s + float(sentence["start_s"]),
                             "end_s": taken_s + float(sentence["end_s"])})
        # One PCM step of dither: a room is never digitally silent.
        pause = draw.uniform(-1, 1, int(PAUSE_S * RATE_HZ)).astype(np.float32) / 32768
        waves += [wave, pause]
        taken_s += (len(wave) + len(pause)) / RATE_HZ

    soundfile.write(args.out / "longform.flac", np.concatenate(waves), RATE_HZ, subtype="PCM_16")
    english, german = (" ".join(segment[name] for segment in segments) for name in ("english", "german"))
    row = ["longform", "longform.flac", "several", f"{taken_s:.2f}", english, german]
    header = ["id", "audio", "speaker", "seconds", "english", "german"]
    (args.out / "longform.tsv").write_text("\n".join("\t".join(cells) for cells in (header, row)) + "\n", encoding="utf-8")
    times = [
        {"wav": "longform.flac", "offset": segment["start_s"], "duration": segment["end_s"] - segment["start_s"]}
        for segment in segments
    ]
    (args.out / "segments.json").write_text(json.dumps(times, indent=1) + "\n")
    (args.out / "references.txt").write_text("".join(segment["german"] + "\n" for segment in segments), encoding="utf-8")
    print(f"{taken_s / 60:.1f} minutes, {len(segments)} sentences, {len(english.split())} English words")


if __name__ == "__main__":
    main()
