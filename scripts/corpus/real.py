"""Archives of recorded speech (.tar of Ogg Opus with a .tsv) -> FLAC parts of the corpus; test sets -> unpacked as is.

Invariant: archives whose name starts with "test-" only ever reach the evaluation folder.
"""

import argparse
import io
import shutil
import tarfile
from pathlib import Path

import soundfile
from tqdm import tqdm

import audio
import manifest


def unpack_training(archive: Path, out: Path) -> None:
    """One FLAC for each clip of the archive and a manifest row with the archive's own texts; continues a broken run."""
    clips = {row["audio"]: row for row in manifest.read(archive.with_suffix(".tsv"))}
    part = manifest.Manifest(out / f"{archive.stem}.tsv")
    with tarfile.open(archive) as tar:
        for member in tqdm(tar, archive.stem, len(clips), mininterval=10):
            row = clips.get(member.name)
            if row is None or row["id"] in part.done:
                continue
            wave, rate_hz = soundfile.read(io.BytesIO(tar.extractfile(member).read()), dtype="float32")
            wave = audio.to_rate(wave, rate_hz)
            path = Path(archive.stem) / f"{row['id']}.flac"
            audio.write_flac(out / path, wave)
            seconds = f"{len(wave) / audio.RATE_HZ:.2f}"
            german = [row[name] for name in manifest.COLUMNS[5:] if row.get(name)]
            part.append([row["id"], str(path), f"{archive.stem}-{row['speaker']}", seconds, row["english"], *german])
    missing = {row["id"] for row in clips.values()} - part.done
    if missing:
        raise SystemExit(f"{archive} lacks {len(missing)} clips of its list, first {min(missing)}")


def unpack_test(archive: Path, out: Path) -> None:
    """The Ogg Opus files as they are, with the set's lists beside their folder."""
    with tarfile.open(archive) as tar:
        tar.extractall(out, filter="data")
    for table in archive.parent.glob(f"{archive.stem}.*tsv"):
        shutil.copyfile(table, out / table.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="folder of the .tar and .tsv files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the manifests")
    parser.add_argument("--eval", type=Path, required=True, help="folder of the test sets")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    args.eval.mkdir(parents=True, exist_ok=True)
    for archive in sorted(args.speech.glob("*.tar")):
        if archive.name.startswith("test-"):
            unpack_test(archive, args.eval)
        else:
            unpack_training(archive, args.out)


if __name__ == "__main__":
    main()
