"""openai (Python): client.audio.translations and client.models."""

import json
import re
import unittest

import openai

from support import SAMPLE, client, model, wav


class Batch(unittest.TestCase):
    def translate(self, file=SAMPLE, **options):
        return client().audio.translations.create(file=file, model=options.pop("model", model()), **options)

    @classmethod
    def setUpClass(cls):
        cls.text = cls().translate().text

    def test_json_has_the_text(self):
        self.assertGreaterEqual(len(self.text.split()), 10, self.text)

    def test_a_wav_has_a_text_as_well(self):
        self.assertGreaterEqual(len(self.translate(file=wav(), response_format="json").text.split()), 10)

    def test_text_is_the_same_text(self):
        self.assertEqual(self.translate(response_format="text").strip(), self.text.strip())

    def test_srt(self):
        subtitles = self.translate(response_format="srt")
        cues = re.findall(r"(\d+)\n(\S+) --> (\S+)\n(.+?)(?:\n\n|\n?$)", subtitles, re.DOTALL)
        self.assertEqual([int(cue[0]) for cue in cues], list(range(1, len(cues) + 1)))
        for _, begin, end, _ in cues:
            self.assertRegex(begin, r"^\d\d:\d\d:\d\d,\d{3}$")
            self.assertLess(begin, end)
        self.assertEqual(self.words(*(cue[3] for cue in cues)), self.text.split())

    def test_vtt(self):
        subtitles = self.translate(response_format="vtt")
        self.assertTrue(subtitles.startswith("WEBVTT\n"), subtitles)
        cues = re.findall(r"\d\d:\d\d\.\d{3} --> (?:\d\d:)?\d\d:\d\d\.\d{3}[^\n]*\n(.+?)(?:\n\n|\n?$)", subtitles, re.DOTALL)
        self.assertEqual(self.words(*cues), self.text.split())

    def test_verbose_json(self):
        answer = self.translate(response_format="verbose_json")
        self.assertEqual(answer.text, self.text)
        self.assertAlmostEqual(float(answer.duration), 12.34, delta=0.1)
        self.assertEqual(self.words(*(segment.text for segment in answer.segments)), self.text.split())
        times = [time for segment in answer.segments for time in (segment.start, segment.end)]
        self.assertEqual(times, sorted(times))

    def test_it_can_be_streamed(self):
        # The client has no argument for it, and reads the answer as text.
        events = self.translate(extra_body={"stream": True})
        data = [line.removeprefix("data: ") for line in events.splitlines() if line]
        self.assertEqual(data.pop(), "[DONE]")
        pieces = [json.loads(piece) for piece in data]
        self.assertEqual({piece["object"] for piece in pieces}, {"translation.chunk"})
        deltas = [piece["choices"][0]["delta"].get("content") or "" for piece in pieces]
        self.assertGreater(len(deltas), 1)
        self.assertEqual("".join(deltas).strip(), self.text.strip())

    def test_languages_can_be_named(self):
        text = self.translate(extra_body={"language": "en", "to_language": "de"}).text
        self.assertEqual(text, self.text)
        with self.assertRaises(openai.BadRequestError):
            self.translate(extra_body={"to_language": "tlh"})

    def test_what_is_no_audio_is_refused(self):
        with self.assertRaises(openai.APIStatusError) as raised:
            self.translate(file=("words.wav", b"these are words, and no samples"))
        self.assertEqual(raised.exception.status_code, 415)
        self.assertEqual(raised.exception.body["type"], "invalid_request_error")

    def test_an_unknown_model_is_refused(self):
        with self.assertRaises(openai.NotFoundError):
            self.translate(model="tower-of-babel")

    @staticmethod
    def words(*texts):
        return " ".join(texts).split()


class Models(unittest.TestCase):
    def test_the_model_is_listed_and_found(self):
        self.assertEqual(client().models.retrieve(model()).to_dict(), client().models.list().data[0].to_dict())

    def test_another_is_not_found(self):
        with self.assertRaises(openai.NotFoundError):
            client().models.retrieve("tower-of-babel")

    def test_a_wrong_key_is_refused(self):
        with self.assertRaises(openai.AuthenticationError) as raised:
            client("sk-wrong").models.list()
        self.assertNotIn("sk-wrong", str(raised.exception), "keys are not repeated")
