"""A seed -> one part of the corpus in which nobody speaks English: a folder of FLAC files and a manifest without any text.

What is heard in it should be nothing, and nothing should be said. Invariant: each clip depends on the seed, the part, its
number and the options alone, so reruns give the same audio.
"""

import argparse
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

import audio
import texts
from build import generator
from engines import Hibari
from manifest import Manifest
from noise import COLOURS, coloured, hum

# As long as sentences are, so that batches sorted by length hold some of both.
SECONDS = (1.5, 4.5)
# Of the synthetic sounds, where no kind is asked for.
SHARES = {"music": 0.45, "struck": 0.2, "beeps": 0.1, "noise": 0.15, "hum": 0.1}
# Voices of SVOX Pico that read German: one that can, and for languages that no one speaks, three that cannot.
READERS = {"german": ["de-DE"], "romance": ["es-ES", "fr-FR", "it-IT"]}
# Languages by whose rules espeak-ng turns German text to phonemes, German first and as often as all others; read by hibari,
# so that it is the language, not the voice, that tells them from English.
TONGUES = ["de", "nl", "sv", "da", "es", "fr", "it", "pt", "pl", "cs", "tr", "fi", "hu"]
READ = [*READERS, "tongues"]
LEVEL_DBFS = (-45.0, -14.0)
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10), "pentatonic": (0, 2, 4, 7, 9)}


def put(wave: np.ndarray, sound: np.ndarray, at_s: float) -> None:
    """Adds a sound to a wave; what reaches beyond its end is lost."""
    begin = int(at_s * audio.RATE_HZ)
    room = wave[begin : begin + len(sound)]
    room += sound[: len(room)]


def struck(draw: np.random.Generator, seconds: float, per_second: float) -> np.ndarray:
    """Short decaying noise at random times: keys, knocks, cutlery, applause, by how fast and how bright they come."""
    wave = np.zeros(int(seconds * audio.RATE_HZ))
    length_s, at_s = draw.uniform(0.005, 0.1), 0.0
    time_s = np.arange(int(length_s * 4 * audio.RATE_HZ)) / audio.RATE_HZ
    brightness = draw.uniform(0.0, 0.95)
    while (at_s := at_s + draw.exponential(1 / per_second)) < seconds:
        burst = draw.standard_normal(len(time_s))
        burst[1:] -= brightness * burst[:-1]
        put(wave, draw.uniform(0.2, 1.0) * burst * np.exp(-time_s / length_s), at_s)
    return wave


def note(draw: np.random.Generator, hertz: float, seconds: float, tilt: float, decay: float) -> np.ndarray:
    """A tone with harmonics that fall off with `tilt`, a vibrato, and an end that is plucked or held by `decay`."""
    time_s = np.arange(int(seconds * audio.RATE_HZ)) / audio.RATE_HZ
    phase = 2 * np.pi * hertz * time_s + draw.uniform(0, 3) * np.sin(2 * np.pi * draw.uniform(4, 7) * time_s)
    orders = range(1, max(2, min(16, int(7000 / hertz))))
    tone = sum(np.sin(order * phase + draw.uniform(0, 6)) / order**tilt for order in orders)
    return tone * np.minimum(1, time_s / 0.01) * np.exp(-decay * time_s) * np.minimum(1, (seconds - time_s) / 0.02)


def music(draw: np.random.Generator, seconds: float) -> np.ndarray:
    """Chords, a bass and a tune in a drawn key, tempo and timbre, with or without drums."""
    wave = np.zeros(int(seconds * audio.RATE_HZ))
    scale, root_hz, beat_s = SCALES[draw.choice(list(SCALES))], draw.uniform(80, 160), draw.uniform(0.25, 0.7)
    tilt, decay = draw.uniform(0.8, 2.5), draw.uniform(0.0, 6.0)

    def step_hz(step: int) -> float:
        octave, place = divmod(step, len(scale))
        return root_hz * 2 ** (octave + scale[place] / 12)

    for beat in range(int(seconds / beat_s) + 1):
        chord = int(draw.choice([0, 3, 4, 5])) if beat % 4 == 0 else chord
        if beat % 2 == 0:
            for voice in (0, 2, 4):
                put(wave, 0.5 * note(draw, 2 * step_hz(chord + voice), 2 * beat_s, tilt, decay), beat * beat_s)
        put(wave, note(draw, step_hz(chord), beat_s, tilt, decay), beat * beat_s)
        if draw.random() < 0.7:
            tune_hz = 4 * step_hz(chord + int(draw.integers(0, 7)))
            put(wave, draw.uniform(0.3, 1) * note(draw, tune_hz, draw.choice([0.5, 1]) * beat_s, tilt, decay), beat * beat_s)
    drums = draw.choice([0.0, 0.5, 2.0]) * struck(draw, seconds, 1 / beat_s)
    return wave + drums[: len(wave)]


def beeps(draw: np.random.Generator, seconds: float) -> np.ndarray:
    """A telephone, an alarm, a hearing test."""
    wave, at_s = np.zeros(int(seconds * audio.RATE_HZ)), draw.uniform(0, 1)
    pitches_hz, length_s, gap_s = draw.uniform(300, 3500, 2), draw.uniform(0.05, 1), draw.uniform(0.05, 1.5)
    while at_s < seconds:
        for hertz in pitches_hz[: draw.integers(1, 3)]:
            put(wave, note(draw, hertz, length_s, 3.0, 0.0), at_s)
        at_s += length_s + gap_s
    return wave


def foreign(draw: np.random.Generator, seconds: float, german: list[str], voices: list[str]) -> np.ndarray:
    """Drawn sentences read one after the other by a drawn voice, its pitch and tempo."""
    from py_nanotts import NanoTTS

    voice, pitch, tempo = str(draw.choice(voices)), draw.uniform(0.7, 1.3), draw.uniform(0.85, 1.15)
    wave = np.zeros(0)
    while len(wave) < seconds * audio.RATE_HZ:
        pcm = NanoTTS().speak(str(draw.choice(german)), voice=voice, pitch=pitch, speed=tempo)
        wave = np.concatenate([wave, np.frombuffer(pcm, "<i2") / 32768])
    return wave


def tongues(draw: np.random.Generator, seconds: float, german: list[str]) -> np.ndarray:
    """Drawn sentences read by hibari in a drawn language, with a drawn pitch, formant and tempo."""
    hibari = speaker()
    language = TONGUES[0] if draw.random() < 0.5 else str(draw.choice(TONGUES[1:]))
    voice, wave = hibari.speaker(draw), np.zeros(0)
    while len(wave) < seconds * audio.RATE_HZ:
        command = ["espeak-ng", "-v", language, "-q", "--ipa", "--", str(draw.choice(german))]
        phonemes = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")
        wave = np.concatenate([wave, hibari.say([phrase for phrase in phonemes if phrase], voice, draw)])
    return wave


@cache
def speaker() -> Hibari:
    return Hibari()


def make(
    draw: np.random.Generator, kind: str | None = None, span_s=SECONDS, german: list[str] | None = None
) -> tuple[str, np.ndarray]:
    """The name of a kind, a drawn one if none is asked for, and a wave of it, of any level; a quarter have noise below."""
    seconds = draw.uniform(*span_s)
    count = int(seconds * audio.RATE_HZ)
    kinds = {
        "music": lambda: music(draw, seconds),
        "struck": lambda: struck(draw, seconds, draw.uniform(1, 30)),
        "beeps": lambda: beeps(draw, seconds),
        "noise": lambda: coloured(draw.choice(list(COLOURS.values())) * draw.uniform(0.5, 1.5), draw),
        "hum": lambda: hum(draw),
        "tongues": lambda: tongues(draw, seconds, german),
        **{name: lambda voices=voices: foreign(draw, seconds, german, voices) for name, voices in READERS.items()},
    }
    kind = kind or str(draw.choice(list(SHARES), p=list(SHARES.values())))
    wave = kinds[kind]()
    wave = np.tile(wave, count // len(wave) + 1)[:count]
    if draw.random() < 0.25:
        wave = wave / wave.std() + 10 ** (-draw.uniform(0, 25) / 20) * draw.standard_normal(len(wave))
    return kind, wave


def write_part(folder: Path, part: str, count: int, seed: int, **options) -> None:
    """The first `count` clips of a part, those that are not there yet; the options are those of `make`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = Manifest(folder / f"{part}.tsv")
    for number in tqdm(range(count), desc=part, mininterval=10):
        clip = f"{part}-{number:05d}"
        if clip in rows.done:
            continue
        draw = generator(seed, part, number)
        kind, wave = make(draw, **options)
        wave = audio.at_level(wave, wave.std() + 1e-9, LEVEL_DBFS, draw)
        path = f"{part}/{clip}.flac"
        audio.write_flac(folder / path, wave.astype(np.float32))
        rows.append([clip, path, kind, f"{len(wave) / audio.RATE_HZ:.2f}", "", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", help="name of the part, for example nothing-0")
    parser.add_argument("--out", type=Path, required=True, help="folder of the corpus")
    parser.add_argument("--kind", choices=[*SHARES, *READ], help="of one kind only, instead of all synthetic ones")
    parser.add_argument("--seconds", default="{}:{}".format(*SECONDS), help="A:B, how long clips are")
    parser.add_argument("--texts", type=Path, help="folder of the text files, for the kinds that are read")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    span_s = tuple(float(bound) for bound in args.seconds.split(":"))
    german = None
    if args.kind in READ:
        if args.texts is None:
            parser.error(f"--kind {args.kind} needs --texts")
        german = [sentence.german[0] for sentence in texts.sentences(args.texts, "tatoeba", args.seed)]
    write_part(args.out, args.part, args.count, args.seed, kind=args.kind, span_s=span_s, german=german)


if __name__ == "__main__":
    main()
