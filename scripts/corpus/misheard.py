"""What a bundle heard in a part's clips -> pairs (transcript, tab, German), so that the text model learns what a transcript is.

The clips should be ones that the bundle was not trained on: `decalage translate --stream --transcript --format json --out HEARD
DATA/corpus/PART/*.flac` listens to them first.
"""

import argparse
import json
from pathlib import Path

import manifest
from check import word_errors
from texts import comparable

# Of the words: what is heard worse than this teaches to invent.
MAX_WRONG = 0.6


def pairs(rows, heard: Path):
    """A transcript with each translation of its clip, of the clips that were heard at all well."""
    for row in rows:
        transcript = heard / f"{Path(row['audio']).stem}.json"
        if not transcript.exists():
            continue
        words = json.loads(transcript.read_text(encoding="utf-8"))["transcript"].split()
        said = comparable(row["english"]).split()
        if words and word_errors(said, words) <= MAX_WRONG * len(said):
            for column in manifest.COLUMNS[5:]:
                if row.get(column):
                    yield " ".join(words), row[column]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", type=Path, help="manifest of the clips")
    parser.add_argument("heard", type=Path, help="folder of what was heard")
    parser.add_argument("--out", type=Path, required=True, help="file of pairs")
    args = parser.parse_args()
    with args.out.open("w", encoding="utf-8") as out:
        out.writelines(f"{english}\t{german}\n" for english, german in pairs(manifest.read(args.part), args.heard))


if __name__ == "__main__":
    main()
