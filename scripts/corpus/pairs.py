"""The text sources -> two plain tables (English, tab, German) for the training of the text model.

Invariant: no English sentence of any dev set is in `train.tsv`, whatever its case and punctuation.
"""

import argparse
from pathlib import Path

import texts


def train_pairs(folder: Path) -> list[tuple[str, str]]:
    """Every pair of every training source once, in the order of the sources."""
    dev = texts.dev_sentences(folder)
    pairs = {
        (english, version): None
        for name in texts.TRAIN.values()
        for _, english, german in texts.read_pairs(folder, name)
        if texts.comparable(english) not in dev
        for version in german
    }
    return list(pairs)


def write(path: Path, pairs) -> None:
    """One pair a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{english}\t{german}\n" for english, german in pairs), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True, help="folder of the text files")
    parser.add_argument("--out", type=Path, required=True, help="folder of train.tsv and dev.tsv")
    args = parser.parse_args()
    write(args.out / "train.tsv", train_pairs(args.texts))
    dev = texts.read_pairs(args.texts, texts.DEV["tatoeba"])
    write(args.out / "dev.tsv", ((english, german[0]) for _, english, german in dev))


if __name__ == "__main__":
    main()
