"""Scores of the runs so far -> tables in Markdown."""

import argparse
import json
from pathlib import Path

from run import RUNS, folder_of

SETS = {"single": "Single sentences", "joined": "Joined sentences"}


def load(path: Path) -> dict | None:
    return json.loads(path.read_text()) if path.exists() else None


def line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def table(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join([line(header), line(["---"] * len(header)), *map(line, rows)])


def costs(runs: dict[str, Path]) -> str:
    """Counted, not measured: `decalage info`. Word errors are the offline policy's; the transcript is the same for all."""
    rows = []
    for name, folder in runs.items():
        info = load(folder / "info.json")
        state = " / ".join(f"{size / 1024:.0f}" for size in info["state_bytes"])
        macs = [f"{info['macs'][key] / 1e6:.1f}" for key in ("per_audio_second", "per_token")]
        errors = [f"{scores['results'][-1]['wer']:.1f}" if (scores := load(folder / f"{key}.json")) else "" for key in SETS]
        rows.append([name, f"{info['parameters'] / 1e6:.2f}", *macs, state, *errors])
    return table(["run", "M parameters", "M MACs a second", "a token", "state at 0 / 10 / 25 s, KiB",
                  "word errors %, single", "joined"], rows)


def scores(runs: dict[str, Path], key: str) -> str:
    """BLEU, chrF and LAAL of each k."""
    rows, lags = [], []
    for name, folder in runs.items():
        found = load(folder / f"{key}.json")
        if found:
            lags = [f"k = {result['k'] or '∞'}" for result in found["results"]]
            latency = lambda result: "–" if result["laal_ms"] is None else f"{result['laal_ms'] / 1000:.2f}"
            cells = [f"{result['bleu']:.1f} / {result['chrf']:.1f} / {latency(result)}" for result in found["results"]]
            rows.append([name, *cells])
    return table(["BLEU / chrF / LAAL s", *lags], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the runs")
    out = parser.parse_args().out
    folders = {name: folder_of(out, "joint", changes) for name, changes in RUNS.items()}
    runs = {name: folder for name, folder in folders.items() if (folder / "info.json").exists()}
    print(costs(runs))
    for key, title in SETS.items():
        print(f"\n{title}:\n\n{scores(runs, key)}")
    missing = [name for name in RUNS if not (folders[name] / "joined.json").exists()]
    print(f"\nNot run yet: {', '.join(missing) or 'none'}.")


if __name__ == "__main__":
    main()
