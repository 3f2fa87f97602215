"""probes.tsv -> clips and a manifest without translations: what must be in them is checked by rules, not by references.

Each sentence has a voice of its own, drawn by its number, of hibari-tts. Run with the corpus's packages (scripts/corpus).
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "corpus"))

import audio
import engines
from build import generator
from manifest import Manifest, read

PROBES = Path(__file__).with_name("probes.tsv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for probes.tsv and the clips")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    engine, rows = engines.Hibari(), Manifest(args.out / "probes.tsv")
    for number, probe in enumerate(read(PROBES)):
        clip = f"{probe['kind']}-{number:03d}"
        if clip in rows.done:
            continue
        draw = generator("probes", number)
        voice = engine.speaker(draw)
        wave = audio.finish(engine.speak(probe["english"], voice, draw), draw)
        audio.write_flac(args.out / f"probes/{clip}.flac", wave)
        rows.append([clip, f"probes/{clip}.flac", engine.label(voice), f"{len(wave) / audio.RATE_HZ:.2f}", probe["english"]])


if __name__ == "__main__":
    main()
