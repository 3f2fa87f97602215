"""Sentences of a text source -> one part of the corpus: a folder of FLAC files and its manifest.

Invariant: each clip depends on the seed, the part and the sentence alone, so reruns, any number of jobs and any slice
give the same audio. Sentences that an engine cannot speak are named in `PART.skipped.tsv`, never dropped silently.
"""

import argparse
import multiprocessing
from pathlib import Path

import numpy as np
from tqdm import tqdm

import audio
import engines
import texts
import vary
from manifest import Manifest

SECONDS = (0.4, 30.0)
SECONDS_PER_LETTER = (0.025, 0.25)


def generator(*parts) -> np.random.Generator:
    """A random generator that depends on nothing but the parts."""
    return np.random.default_rng(int(texts.digest(*parts)[:16], 16))


def problem(wave: np.ndarray, english: str) -> str:
    """Why a clip can't be a reading of the sentence, or "" if it can."""
    seconds = len(wave) / audio.RATE_HZ
    if not SECONDS[0] <= seconds <= SECONDS[1]:
        return f"lasts {seconds:.2f} s"
    per_letter = (seconds - 0.2) / max(1, sum(letter.isalnum() for letter in english))
    if len(english) > 20 and not SECONDS_PER_LETTER[0] <= per_letter <= SECONDS_PER_LETTER[1]:
        return f"takes {per_letter:.3f} s a letter"
    return ""


def make_clip(engine, folder: Path, part: str, seed: int, shares: tuple[float, float], sentence: texts.Sentence):
    """Speaks one sentence, varied as often as `shares` say, into its file. Returns (manifest row, "") or (the id and text
    alone, why it was skipped)."""
    sentence = vary.vary(sentence, generator(seed, part, sentence.id, "text"), *shares)
    voice = engine.speaker(generator(seed, part, sentence.passage, "voice"))
    draw = generator(seed, part, sentence.id, "clip")
    clip = f"{part}-{sentence.id}"
    try:
        wave = audio.finish(engine.speak(sentence.english, voice, draw), draw)
        reason = problem(wave, sentence.english)
    except Exception as error:  # one bad sentence must not end a run of hours; it is named in the skipped list
        reason = f"{type(error).__name__}: {error}"
    if reason:
        return [clip, sentence.english], " ".join(reason.split())
    path = f"{part}/{clip}.flac"
    audio.write_flac(folder / path, wave)
    seconds = f"{len(wave) / audio.RATE_HZ:.2f}"
    return [clip, path, engine.label(voice), seconds, sentence.english, *sentence.german], ""


def start_worker(engine: str, kokoro: Path, *job):
    global worker
    worker = (engines.ENGINES[engine](kokoro), *job)


def work(sentence: texts.Sentence):
    return make_clip(*worker, sentence)


def select(all_sentences: list[texts.Sentence], span: str, max_words: int) -> list[texts.Sentence]:
    """The slice "A:B" of the whole order (sentences, or passages where they have some), then the short enough ones."""
    passages = list(dict.fromkeys(sentence.passage for sentence in all_sentences))
    begin, end = (int(bound) if bound else None for bound in span.split(":"))
    chosen = set(passages[begin:end])
    return [s for s in all_sentences if s.passage in chosen and len(s.english.split()) <= max_words]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", help="name of the part, for example hibari-0")
    parser.add_argument("--engine", choices=sorted(engines.ENGINES), required=True)
    parser.add_argument("--texts", type=Path, required=True, help="folder of the text files")
    parser.add_argument("--source", choices=sorted(texts.TRAIN | texts.DEV), default="tatoeba")
    parser.add_argument("--slice", default=":", help="A:B, places in the shuffled order of the whole source")
    parser.add_argument("--max-words", type=int, default=60, help="of the slice, speak sentences up to this length")
    parser.add_argument("--out", type=Path, required=True, help="folder of the manifests")
    parser.add_argument("--kokoro", type=Path, default=Path("data/kokoro"), help="folder that kokoro_files.py made")
    parser.add_argument("--swap", type=float, default=0.0, help="probability of other names and another number")
    parser.add_argument("--hesitate", type=float, default=0.0, help="probability of a filler or a false start")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    done = Manifest(args.out / f"{args.part}.tsv")
    skipped = Manifest(args.out / f"{args.part}.skipped.tsv", ["id", "english", "reason"])
    wanted = select(texts.sentences(args.texts, args.source, args.seed), args.slice, args.max_words)
    todo = [s for s in wanted if f"{args.part}-{s.id}" not in done.done | skipped.done]
    job = (args.engine, args.kokoro, args.out, args.part, args.seed, (args.swap, args.hesitate))
    with multiprocessing.Pool(args.jobs, start_worker, job) as pool:
        clips = pool.imap_unordered(work, todo, chunksize=4)
        for row, reason in tqdm(clips, args.part, len(wanted), initial=len(wanted) - len(todo), mininterval=10):
            if reason:
                skipped.append([*row, reason])
            else:
                done.append(row)


if __name__ == "__main__":
    main()
