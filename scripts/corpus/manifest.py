"""Rows of clips -> a TSV manifest that is valid at any moment and that a rerun continues.

Invariant: a row is in the file only if its audio was complete before, and every row ends with a line feed.
"""

import os
from pathlib import Path

COLUMNS = ["id", "audio", "speaker", "seconds", "english", "german", "german2", "german3", "german4"]


class Manifest:
    """Appends rows to `path`; creates it with its header, or drops the torn last line of a killed run."""

    def __init__(self, path: Path, columns: list[str] = COLUMNS):
        self.path, self.columns = path, columns
        if not path.exists():
            fresh = path.with_suffix(".tmp")
            fresh.write_text("\t".join(columns) + "\n", encoding="utf-8")
            os.replace(fresh, path)
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(path, whole)
        lines = data[:whole].decode().rstrip("\n").split("\n")
        if lines[0].split("\t") != columns:
            raise ValueError(f"{path} has other columns: {lines[0]!r}, needed {columns}")
        self.done = {line.split("\t", 1)[0] for line in lines[1:]}
        self.file = open(path, "ab", buffering=0)

    def append(self, row: list[str]) -> None:
        """Writes one row with a single system call; cells that are left out stay empty."""
        cells = row + [""] * (len(self.columns) - len(row))
        if len(cells) > len(self.columns) or any("\t" in cell or "\n" in cell for cell in cells):
            raise ValueError(f"not a row of {len(self.columns)} cells: {row}")
        self.file.write(("\t".join(cells) + "\n").encode())
        self.done.add(row[0])


def read(path: Path) -> list[dict[str, str]]:
    """All rows of a manifest by column name."""
    header, *rows = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    return [dict(zip(header.split("\t"), row.split("\t"))) for row in rows]
