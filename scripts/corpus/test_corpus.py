"""Tests of the corpus scripts that need no synthesiser: `python -m unittest discover scripts/corpus`."""

import json
import tempfile
import unittest
from pathlib import Path

import numpy as np
import soundfile

import audio
import books
import build
import engines
import manifest
import misheard
import nothing
import pairs
import texts
import vary


class Beep:
    """Stands in for a synthesiser: a tone as long as the text, at the drawn pitch; can't say "mute"."""

    spoken = 0

    def speaker(self, draw):
        return {"hz": draw.uniform(100, 400)}

    def label(self, voice):
        return f"beep_{voice['hz']:.0f}"

    def speak(self, english, voice, draw):
        Beep.spoken += 1
        if english == "mute":
            return np.zeros(audio.RATE_HZ, np.float32)
        time_s = np.arange(int(0.06 * len(english) * audio.RATE_HZ)) / audio.RATE_HZ
        return (np.sin(2 * np.pi * voice["hz"] * time_s) + 0.01 * draw.standard_normal(len(time_s))).astype(np.float32)


def sentence(number: int, english: str, passage: str | None = None) -> texts.Sentence:
    return texts.Sentence(f"t-{number}", passage or f"t-{number}", english, ("eins", "zwei"))


class WithFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class Books(unittest.TestCase):
    def test_sentences_have_no_headings_and_no_line_ends(self):
        text = "CHAPTER I\n\n“Did Mr. Darcy\nlaugh?” she asked--_once_; nobody\nanswered.\n\nThe\nEnd"
        self.assertEqual(
            list(books.sentences(text)), ["Did Mr Darcy laugh?", "she asked, once;", "nobody answered.", "The End"]
        )


class Texts(WithFolder):
    def setUp(self):
        super().setUp()
        talks = "".join(f"p{p}\tTalk {p} line {n}.\tZeile {p} {n}.\n" for p in range(5) for n in range(3))
        tables = {
            "tatoeba-train.en-de.tsv": "Hi.\tHallo!\nHi.\tGrüß Gott!\nHi.\tHallo!\nBye!\tTschüss!\n"
            + "SECRET one\tGeheim.\n"
            + "".join(f"Number {n}.\tNummer {n}.\n" for n in range(50)),
            "bcontrast-train.en-de.tsv": "Hi.\tHallo!\nOk.\tOk.\n",
            "xquad.en-de.tsv": "Who?\tWer?\n",
            "ntrex.en-de.tsv": "News.\tNeues.\n",
            "talks-train.tsv": talks,
            "tatoeba-dev.en-de.tsv": "Secret, one.\tGeheim.\n",
            "bcontrast-dev.en-de.tsv": "Dev.\tDev.\n",
            "talks-dev.tsv": "d1\tDev talk.\tRede.\n",
        }
        for name, table in tables.items():
            (self.folder / name).write_text(table, encoding="utf-8")
        trains = {source: name.removesuffix(".xz") for source, name in texts.TRAIN.items()}
        self.addCleanup(setattr, texts, "TRAIN", texts.TRAIN)
        texts.TRAIN = trains

    def test_versions_of_one_sentence_are_one_row_without_duplicates(self):
        rows = {s.english: s.german for s in texts.sentences(self.folder, "tatoeba", 1)}
        self.assertEqual(rows["Hi."], ("Hallo!", "Grüß Gott!"))
        self.assertEqual(rows["Bye!"], ("Tschüss!",))

    def test_dev_sentences_stay_out_whatever_their_case_and_punctuation(self):
        self.assertNotIn("SECRET one", [s.english for s in texts.sentences(self.folder, "tatoeba", 1)])
        self.assertEqual([s.english for s in texts.sentences(self.folder, "tatoeba-dev", 1)], ["Secret, one."])
        train = pairs.train_pairs(self.folder)
        self.assertNotIn("SECRET one", [english for english, _ in train])
        self.assertEqual(train.count(("Hi.", "Hallo!")), 1)
        self.assertIn(("Talk 0 line 0.", "Zeile 0 0."), train)

    def test_order_depends_on_the_seed_alone_and_slices_do_not_overlap(self):
        first = texts.sentences(self.folder, "tatoeba", 1)
        self.assertEqual(first, texts.sentences(self.folder, "tatoeba", 1))
        self.assertNotEqual([s.english for s in first], [s.english for s in texts.sentences(self.folder, "tatoeba", 2)])
        parts = [build.select(first, span, 9) for span in (":20", "20:40", "40:")]
        self.assertEqual([s.id for part in parts for s in part], [s.id for s in first])

    def test_passages_stay_whole_and_in_order(self):
        talks = build.select(texts.sentences(self.folder, "talks", 1), "0:2", 60)
        self.assertEqual(len({s.passage for s in talks}), 2)
        self.assertEqual([s.english[-2] for s in talks], list("012012"))


class Clips(WithFolder):
    def clip(self, seed: int, line: texts.Sentence, folder="a", part="part"):
        return build.make_clip(Beep(), self.folder / folder, part, seed, (0.0, 0.0), line)

    def test_a_clip_depends_on_seed_part_and_sentence_alone(self):
        line = sentence(1, "Hello, who is there?")
        row, reason = self.clip(1, line)
        self.clip(1, sentence(2, "Something else first."), "b")
        again, _ = self.clip(1, line, "b")
        self.assertEqual((row, reason), (again, ""))
        self.assertEqual((self.folder / "a" / row[1]).read_bytes(), (self.folder / "b" / again[1]).read_bytes())
        other, _ = self.clip(2, line, "b")
        self.assertNotEqual(row[2], other[2])

    def test_a_passage_keeps_its_voice(self):
        rows = [self.clip(1, sentence(n, "Hello, who is there?", "p1"))[0] for n in range(3)]
        self.assertEqual(len({row[2] for row in rows}), 1)

    def test_the_file_is_as_the_row_says(self):
        row, _ = self.clip(1, sentence(1, "Hello, who is there?"))
        wave, rate_hz = soundfile.read(self.folder / "a" / row[1])
        info = soundfile.info(self.folder / "a" / row[1])
        self.assertEqual((rate_hz, wave.ndim, info.subtype), (16_000, 1, "PCM_16"))
        self.assertAlmostEqual(len(wave) / rate_hz, float(row[3]), places=2)
        self.assertEqual(row[4:], ["Hello, who is there?", "eins", "zwei"])

    def test_a_sentence_that_cannot_be_spoken_is_skipped_with_its_reason(self):
        row, reason = self.clip(1, sentence(1, "mute"))
        self.assertEqual(row, ["part-t-1", "mute"])
        self.assertIn("0.00 s", reason)
        self.assertFalse((self.folder / "a" / "part").exists())


class Variations(unittest.TestCase):
    def swapped(self, change, english, *german):
        """What some draws make of a sentence."""
        original = texts.Sentence("t", "t", english, german)
        return [change(original, np.random.default_rng(seed)) for seed in range(40)]

    def test_a_name_is_swapped_in_both_languages_with_its_genitive(self):
        varied = self.swapped(vary.swap_names, "Tom knows Mary's dog.", "Tom kennt Marias Hund.", "Der Hund ist bekannt.")
        for sentence in varied:
            he, _, dog = sentence.english.split()[:3]
            her = dog.removesuffix("'s")
            self.assertEqual(sentence.german, (f"{he} kennt {her}s Hund.",))
            self.assertIn(he, vary.MALE)
            self.assertIn(her, vary.FEMALE)
        self.assertGreater(len({sentence.english for sentence in varied}), 30)

    def test_a_name_that_german_has_in_another_form_stays(self):
        for english, german in [("John prays.", "Johannes betet."), ("Tomorrow is fine.", "Morgen passt.")]:
            for sentence in self.swapped(vary.swap_names, english, german):
                self.assertEqual((sentence.english, sentence.german), (english, (german,)))

    def test_a_number_is_swapped_by_its_value(self):
        varied = self.swapped(vary.swap_number, "I have three cats.", "Ich habe drei Katzen.", "Ich habe 3 Katzen.")
        values = set()
        for sentence in varied:
            value, german = vary.NUMBERS[sentence.english.removeprefix("I have ").removesuffix(" cats.")]
            self.assertEqual(sentence.german, (f"Ich habe {german} Katzen.",))
            values.add(value)
        self.assertGreater(max(values), 12)
        self.assertGreaterEqual(min(values), 2)

    def test_hours_stay_on_the_clock_and_what_is_not_a_plain_number_stays(self):
        for sentence in self.swapped(vary.swap_number, "It's ten o'clock.", "Es ist zehn Uhr."):
            self.assertLessEqual(vary.NUMBERS[sentence.english.split()[1]][0], 12)
        for english, german in [
            ("Two or three.", "Zwei oder drei."),
            ("two by two", "zu zweit"),
            ("three hundred days", "dreihundert Tage"),
            ("It is half past two.", "Es ist halb drei."),
        ]:
            for sentence in self.swapped(vary.swap_number, english, german):
                self.assertEqual((sentence.english, sentence.german), (english, (german,)))

    def test_who_hesitates_says_all_words_and_the_translation_stays(self):
        words = "We want to leave now.".split()
        varied = self.swapped(vary.hesitate, " ".join(words), "Wir wollen gehen.")
        for sentence in varied:
            rest = iter(sentence.english.replace(",", "").split())
            self.assertTrue(all(word in rest for word in words), sentence.english)
            self.assertGreater(len(sentence.english.split()), len(words))
            self.assertEqual(sentence.german, ("Wir wollen gehen.",))
        self.assertGreater(len({sentence.english for sentence in varied}), 8)

    def test_without_a_share_nothing_is_varied(self):
        for sentence in self.swapped(lambda s, draw: vary.vary(s, draw, 0, 0), "Tom has three cats, too.", "Tom hat drei."):
            self.assertEqual(sentence.english, "Tom has three cats, too.")


class Nothing(WithFolder):
    def test_a_part_without_words_depends_on_its_seed_alone_and_can_be_continued(self):
        rows = {}
        for name, seed, counts in [("a", 1, [12]), ("b", 1, [5, 12]), ("c", 2, [12])]:
            for count in counts:
                nothing.write_part(self.folder / name, "part", count, seed)
            rows[name] = manifest.read(self.folder / name / "part.tsv")
        waves = {name: [soundfile.read(self.folder / name / row["audio"])[0] for row in rows[name]] for name in rows}
        self.assertEqual(rows["a"], rows["b"])
        self.assertNotEqual(rows["a"], rows["c"])
        self.assertGreater(len({row["speaker"] for row in rows["a"]}), 2)
        for row, wave, same in zip(rows["a"], waves["a"], waves["b"]):
            self.assertEqual((row["english"], row["german"]), ("", ""))
            np.testing.assert_array_equal(wave, same)
            self.assertAlmostEqual(len(wave) / audio.RATE_HZ, float(row["seconds"]), delta=0.01)
            self.assertTrue(0.001 < np.abs(wave).max() <= 1, row)


class Trimming(unittest.TestCase):
    def test_edges_are_cut_or_filled_to_the_asked_length(self):
        tone = np.sin(np.arange(16_000) * 0.1).astype(np.float32)
        for before, after in ((0, 0), (8_000, 8_000), (800, 0), (0, 20_000)):
            wave = audio.trim(np.pad(tone, (before, after)), 0.2, 0.1)
            self.assertEqual(len(wave), 16_000 + 3_200 + 1_600)
            self.assertEqual(np.abs(wave[:3_200]).max(), 0.0)
            np.testing.assert_array_equal(wave[3_200:19_200], tone)

    def test_silence_and_nothing_give_nothing(self):
        self.assertEqual(len(audio.trim(np.zeros(16_000, np.float32), 0.1, 0.1)), 0)
        self.assertEqual(len(audio.trim(np.zeros(0, np.float32), 0.1, 0.1)), 0)


class Resume(WithFolder):
    def test_a_torn_last_line_is_dropped_and_the_rest_is_kept(self):
        path = self.folder / "part.tsv"
        part = manifest.Manifest(path)
        part.append(["a", "a.flac", "s", "1.00", "One.", "Eins."])
        with open(path, "ab") as file:
            file.write(b"b\tb.flac\ts")
        again = manifest.Manifest(path)
        self.assertEqual(again.done, {"a"})
        again.append(["c", "c.flac", "s", "1.00", "Three.", "Drei."])
        self.assertEqual([row["id"] for row in manifest.read(path)], ["a", "c"])

    def test_cells_that_would_break_the_table_are_refused(self):
        part = manifest.Manifest(self.folder / "part.tsv")
        with self.assertRaises(ValueError):
            part.append(["a", "a.flac", "s", "1.00", "One\ttwo.", "Eins."])
        with self.assertRaises(ValueError):
            manifest.Manifest(self.folder / "part.tsv", ["id", "english"])


class Misheard(unittest.TestCase):
    def test_what_was_heard_at_all_well_is_paired_with_every_translation(self):
        rows = [
            {"audio": "part/a.flac", "english": "Don't go, Tom!", "german": "Geh nicht!", "german2": "Geht nicht!"},
            {"audio": "part/b.flac", "english": "It rains.", "german": "Es regnet.", "german2": ""},
            {"audio": "part/c.flac", "english": "Nobody listened.", "german": "Keiner hörte zu."},
        ]
        with tempfile.TemporaryDirectory() as folder:
            for name, transcript in (("a", " don't go dom"), ("b", "at trains on")):
                Path(folder, f"{name}.json").write_text(json.dumps({"transcript": transcript}))
            found = list(misheard.pairs(rows, Path(folder)))
        self.assertEqual(found, [("don't go dom", "Geh nicht!"), ("don't go dom", "Geht nicht!")])


class Voices(unittest.TestCase):
    def test_unseen_voices_are_refused_alone_and_mixed(self):
        for voice in ("af_kore", "am_fenrir", "bf_emma", "bm_fable", "af_sky+bm_fable_0.40"):
            with self.assertRaises(ValueError):
                engines.allowed(voice)
        self.assertEqual(engines.allowed("af_heart"), "af_heart")

    def test_kokoro_draws_no_unseen_voice(self):
        kokoro = object.__new__(engines.Kokoro)
        kokoro.kinds = [["af_kore", "af_sky"]]
        with self.assertRaises(ValueError):
            for seed in range(20):
                kokoro.speaker(build.generator(seed))

    def test_formants_change_neither_pitch_nor_tempo(self):
        class Speaks:
            """A tenth of a second at 24 kHz, whatever it is to say."""

            def run(self, _outputs, feed):
                self.speed = feed["speed"][0]
                return [np.ones(2400, np.float32)]

        class Reads:
            sample_rate = 24_000

            def phonemize(self, english):
                return [english]

            def ids(self, phonemes):
                return [0, *range(len(phonemes)), 0]

        kokoro = object.__new__(engines.KokoroLight)
        kokoro.session, kokoro.readers = Speaks(), {False: Reads()}
        kokoro.rows = {"af_sky": np.zeros((510, 1, 256), np.float32)}
        voice = {"names": ["af_sky", "af_sky"], "share": 1.0, "tempo": 1.1, "pitch": 12.0, "formant": 0.8}
        wave = kokoro.speak("hello", voice, build.generator("clip"))
        # What is played at 0.8 of its rate lasts longer and is lower, so it is spoken faster and higher.
        self.assertAlmostEqual(kokoro.session.speed * 0.8, 1.1, places=5)
        self.assertAlmostEqual(kokoro.session.pitch * 0.8, 2.0)
        self.assertEqual(len(wave), 2000)


if __name__ == "__main__":
    unittest.main()
