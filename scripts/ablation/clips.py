"""The corpus -> a narrow domain for small models: clips and pairs to train on, single sentences and joined ones held out.

Only text decides what is taken: 2 to 8 words, all of them frequent in English and in a German version. Invariant: no English
sentence that is held out is trained on, whatever its case and punctuation.
"""

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[1] / "corpus"))

from audio import RATE_HZ, write_flac
from manifest import COLUMNS, read

TRAIN = ["hibari-0-train", "hibari-2", "hibari-3"]
HELD_OUT = ["../dev-hibari", "hibari-1"]
SINGLE, POOL = 200, 600
WORDS = (2, 8)
FREQUENT = {"english": 150, "german": 100}
# Beside the silence at both ends of each clip, 0.05 to 0.3 s.
PAUSE_S = (0.1, 0.5)
# Drawn as upper limits; the last clip that fits is often a second or two before.
JOINED_S = (12.0, 24.0)
SHORTEST_S = 10.0


def words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def versions(row: dict[str, str]) -> list[str]:
    return [row[name] for name in COLUMNS if name.startswith("german") and row.get(name)]


class Domain:
    """Which sentences are in it, by the words of all pairs."""

    def __init__(self, pairs: list[list[str]]):
        english = Counter(word for pair in pairs for word in words(pair[0]))
        german = Counter(word for pair in pairs for version in pair[1:] for word in words(version))
        self.english = {word for word, count in english.items() if count >= FREQUENT["english"]}
        self.german = {word for word, count in german.items() if count >= FREQUENT["german"]}

    def of(self, english: str, german: list[str]) -> list[str]:
        """The German versions in the domain; none if the English is not."""
        source = words(english)
        if not WORDS[0] <= len(source) <= WORDS[1] or not self.english.issuperset(source):
            return []
        return [version for version in german if self.german.issuperset(words(version))]


def join(rows: list[dict[str, str]], folder: Path) -> list[list[str]]:
    """Neighbours with pauses between, each time up to a drawn length; what is left at the end is too short and stays out."""
    draw, joined, rest = np.random.default_rng(1), [], list(rows)
    while rest:
        target_s, total_s, waves, group = draw.uniform(*JOINED_S), 0.0, [], []
        while rest and total_s + float(rest[0]["seconds"]) <= target_s:
            group.append(rest.pop(0))
            wave, rate_hz = soundfile.read(group[-1]["audio"], dtype="float32")
            if rate_hz != RATE_HZ or wave.ndim != 1:
                raise SystemExit(f"{group[-1]['audio']}: needed is {RATE_HZ} Hz and one channel")
            # One PCM step of dither: a room is never digitally silent.
            pause = draw.uniform(-1, 1, int(draw.uniform(*PAUSE_S) * RATE_HZ)).astype(np.float32) / 32768
            waves += [wave, pause]
            total_s += (len(wave) + len(pause)) / RATE_HZ
        wave = np.concatenate(waves[:-1])
        if len(wave) >= SHORTEST_S * RATE_HZ:
            name = f"joined-{len(joined):03}"
            write_flac(folder / "joined" / f"{name}.flac", wave)
            texts = [" ".join(one[key] for one in group) for key in ("english", "german")]
            joined.append([name, f"joined/{name}.flac", "hibari", f"{len(wave) / RATE_HZ:.2f}", *texts])
    return joined


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="as scripts/corpus/generate makes it; writes data/ablation")
    data = parser.parse_args().data.resolve()
    out = data / "ablation"
    out.mkdir(exist_ok=True)
    pairs = [line.split("\t") for line in (data / "text/train.tsv").read_text(encoding="utf-8").splitlines()]
    domain = Domain(pairs)

    def clips(parts: list[str]) -> list[dict[str, str]]:
        found = []
        for path in (data / "corpus" / f"{part}.tsv" for part in parts):
            for row in read(path):
                german = domain.of(row["english"], versions(row))
                # The first is a reference of joined clips, so it must be in the domain, too.
                if german and german[0] == row["german"]:
                    found.append({**row, "audio": str((path.parent / row["audio"]).resolve())})
        return found

    held_out = clips(HELD_OUT)[:POOL]
    secret = {tuple(words(row["english"])) for row in held_out}
    train = [row for row in clips(TRAIN) if tuple(words(row["english"])) not in secret]

    def write(name: str, rows: list[list[str]], header: list[str] = COLUMNS) -> None:
        lines = ["\t".join(cells + [""] * (len(header) - len(cells))) for cells in ([header] if header else []) + rows]
        (out / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    cells = lambda row: [row.get(name, "") for name in COLUMNS]
    write("train", list(map(cells, train)))
    write("single", list(map(cells, held_out[:SINGLE])))
    known = [(pair[0], domain.of(pair[0], pair[1:])) for pair in pairs if tuple(words(pair[0])) not in secret]
    known = [[english, *german] for english, german in known if german]
    write("pairs", known, header=[])
    joined = join(held_out, out)
    write("joined", joined)
    hours = sum(float(row["seconds"]) for row in train) / 3600
    print(f"{len(train)} clips ({hours:.1f} h) and {len(known)} pairs to train on; {SINGLE} single and {len(joined)} joined "
          f"held out, {len(domain.english)} English and {len(domain.german)} German words")


if __name__ == "__main__":
    main()
