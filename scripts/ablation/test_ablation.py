"""What the comparison rests on: held-out sentences stay out, and no two runs share a folder."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

import clips
import run


class Selection(unittest.TestCase):
    def test_all_words_of_a_sentence_and_of_one_translation_are_frequent(self):
        pairs = [["We sleep well.", "Wir schlafen gut."]] * 150 + [["We sleep deeply.", "Wir schlafen tief."]]
        domain = clips.Domain(pairs)
        self.assertEqual(domain.of("SLEEP well!", ["Wir schlafen tief.", "Gut schlafen."]), ["Gut schlafen."])
        self.assertEqual(domain.of("Sleep deeply.", ["Gut schlafen."]), [])
        self.assertEqual(domain.of("Sleep.", ["Gut schlafen."]), [])


class Runs(unittest.TestCase):
    def test_each_differs_from_all_others(self):
        folders = {run.folder_of(Path("out"), "joint", changes) for changes in run.RUNS.values()}
        self.assertEqual(len(folders), len(run.RUNS))

    def test_parts_that_are_the_same_are_trained_once(self):
        with tempfile.TemporaryDirectory() as folder:
            queue, stages = run.Queue(Path("data"), Path(folder), Path("decalage")), []

            def stage(task, changes, *_):
                stages.append((task, changes))
                return Path(folder) / task

            with mock.patch.object(queue, "stage", stage), mock.patch.object(queue, "call"), mock.patch.object(Path, "rename"):
                queue.run({"decoder_cross": "window", "offline-share": 0})
                queue.run({"encoder_self": "relu", "epsilon": 1e-3})
        window, relu = stages[:3], stages[3:]
        self.assertEqual(window[:2], [("text", {}), ("ctc", {})])
        self.assertEqual(relu[:2], [("text", {"epsilon": 1e-3}), ("ctc", {"encoder_self": "relu", "epsilon": 1e-3})])
        self.assertEqual(window[2], ("joint", {"decoder_cross": "window", "offline-share": 0}))


if __name__ == "__main__":
    unittest.main()
