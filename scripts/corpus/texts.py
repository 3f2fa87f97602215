"""Text sources -> sentences to speak: grouped by English sentence, in one fixed order, nothing of the dev sets in training.

Invariant: the order depends on the seed and the sentences alone, so any first N sentences are a fair sample and a
slice A:B never overlaps a slice B:C.
"""

import hashlib
import lzma
import re
from dataclasses import dataclass
from pathlib import Path

TRAIN = {
    "tatoeba": "tatoeba-train.en-de.tsv.xz",
    "bcontrast": "bcontrast-train.en-de.tsv.xz",
    "talks": "talks-train.tsv.xz",
    "xquad": "xquad.en-de.tsv.xz",
    "ntrex": "ntrex.en-de.tsv.xz",
}
DEV = {
    "tatoeba-dev": "tatoeba-dev.en-de.tsv",
    "bcontrast-dev": "bcontrast-dev.en-de.tsv",
    "talks-dev": "talks-dev.tsv",
}
MAX_GERMAN = 4


@dataclass(frozen=True)
class Sentence:
    """One English sentence and its German versions. Sentences of one passage share a voice and its `passage`."""

    id: str
    passage: str
    english: str
    german: tuple[str, ...]


def digest(*parts) -> str:
    """Hash of the parts, the one source of every random choice (stable between runs and machines)."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()


def comparable(english: str) -> str:
    """The sentence without case and punctuation: equal for two ways to write the same words."""
    return " ".join(re.findall(r"[a-z0-9']+", english.lower().replace("’", "'")))


def read_pairs(folder: Path, name: str):
    """Yields (passage id or "", English, [German, ...]) of one file, white space tidied."""
    path = folder / name
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            cells = [" ".join(cell.split()) for cell in line.rstrip("\n").split("\t")]
            passage = cells.pop(0) if name.startswith("talks") else ""
            english, german = cells[0], [cell for cell in cells[1:] if cell]
            if not english or not german:
                raise ValueError(f"{path}:{number}: needs an English and a German sentence")
            yield passage, english, german


def dev_sentences(folder: Path) -> set[str]:
    """Every English sentence of the dev sets, `comparable`."""
    return {comparable(english) for name in DEV.values() for _, english, _ in read_pairs(folder, name)}


def sentences(folder: Path, source: str, seed: int) -> list[Sentence]:
    """All sentences of a source in the order of the seed; passages (talks) stay together and in order."""
    held_out = set() if source in DEV else dev_sentences(folder)
    groups: dict[tuple[str, str], list[str]] = {}
    for passage, english, german in read_pairs(folder, (TRAIN | DEV)[source]):
        if comparable(english) not in held_out:
            versions = groups.setdefault((passage, english), [])
            versions.extend(version for version in german if version not in versions)
    if source.startswith("talks"):
        return by_passage(groups, seed)
    order = sorted(groups, key=lambda key: digest(seed, key[1]))
    return [
        Sentence(f"{source}-{rank:06d}", f"{source}-{rank:06d}", key[1], tuple(groups[key][:MAX_GERMAN]))
        for rank, key in enumerate(order)
    ]


def by_passage(groups: dict[tuple[str, str], list[str]], seed: int) -> list[Sentence]:
    """Passages in the order of the seed, the sentences of each in their own order, numbered from 00."""
    passages: dict[str, list[str]] = {}
    for passage, english in groups:
        passages.setdefault(passage, []).append(english)
    return [
        Sentence(f"{passage}-{place:02d}", passage, english, tuple(groups[passage, english][:MAX_GERMAN]))
        for passage in sorted(passages, key=lambda passage: digest(seed, passage))
        for place, english in enumerate(passages[passage])
    ]
