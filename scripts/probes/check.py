"""Translations of the probes -> how many have what they must have: numbers, times, names, negations, and German's forms.

The column `needed` holds regular expressions, joined by " & ", each of which must be found in the translation.
"""

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "corpus"))

from manifest import read

PROBES = Path(__file__).with_name("probes.tsv")


def faults(needed: str, german: str) -> list[str]:
    """What is wrong with a translation: rules by name, or the expressions that it lacks."""
    words = re.findall(r"\w+", german.lower())
    found = [f"lacks {part}" for part in needed.split(" & ") if not re.search(part, german)]
    if not german[:1].isupper() and not german[:1].isdigit():
        found.append("casing")
    if not german.endswith((".", "?", "!")):
        found.append("punctuation")
    if any(a == b == c for a, b, c in zip(words, words[1:], words[2:])):
        found.append("loop")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, help="instances-k*.log of `decalage evaluate` on the probes")
    parser.add_argument("--failures", type=int, default=0, help="print so many of what went wrong")
    args = parser.parse_args()
    probes = read(PROBES)
    lines = args.log.read_text(encoding="utf-8").splitlines()
    if len(lines) != len(probes):
        raise SystemExit(f"{args.log} has {len(lines)} translations, needed {len(probes)}")
    asked, right, forms, shown = Counter(), Counter(), Counter(), []
    for probe, line in zip(probes, lines):
        german = json.loads(line)["prediction"]
        wrong = faults(probe["needed"], german)
        asked[probe["kind"]] += 1
        right[probe["kind"]] += not any(fault.startswith("lacks") for fault in wrong)
        forms.update(fault for fault in wrong if not fault.startswith("lacks"))
        if wrong:
            shown.append(f"  {probe['english']} -> {german or '(nothing)'} [{', '.join(wrong)}]")
    for kind, count in asked.items():
        print(f"{kind:9} {right[kind]:4} of {count:3} right")
    print(f"{'all':9} {right.total():4} of {asked.total():3} right")
    print("forms:   ", ", ".join(f"{forms[name]} wrong in {name}" for name in ("casing", "punctuation", "loop")))
    print(*shown[: args.failures], sep="\n")


if __name__ == "__main__":
    main()
