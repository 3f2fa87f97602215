"""SimulEval: `simuleval --remote-eval` against the server."""

import json
import subprocess
import sys
import unittest
from pathlib import Path
from urllib.parse import urlsplit

from support import EVAL_URL, RATE_HZ, folder, speech, streamed_text, wav


class SimulEval(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.output = folder() / "simuleval"
        source, target = folder() / "source.txt", folder() / "target.txt"
        # Twice, as a session of its own each time.
        source.write_text(f"{wav()}\n" * 2)
        target.write_text(f"{streamed_text().strip()}\n" * 2)
        server = urlsplit(EVAL_URL)
        cls.done = subprocess.run(
            [sys.executable, Path(__file__).with_name("simuleval_remote.py"), "--remote-eval",
             "--remote-address", server.hostname, "--remote-port", str(server.port),
             "--source", source, "--target", target, "--source-type", "speech", "--target-type", "text",
             "--source-segment-size", "320", "--output", cls.output, "--computation-aware",
             "--quality-metrics", "BLEU", "--latency-metrics", "AL", "LAAL", "DAL", "AP", "--no-progress-bar"],
            capture_output=True, text=True, timeout=240,
        )

    def test_the_text_and_the_delays_are_logged(self):
        self.assertEqual(self.done.returncode, 0, self.done.stderr)
        instances = [json.loads(line) for line in (self.output / "instances.log").read_text().splitlines()]
        self.assertEqual(len(instances), 2)
        duration_ms = len(speech()) / 2 / RATE_HZ * 1000
        for instance in instances:
            self.assertEqual(instance["prediction"].split(), streamed_text().split())
            self.assertEqual(instance["delays"], sorted(instance["delays"]))
            self.assertLess(instance["delays"][0], duration_ms, "words come before the end")
        self.assertEqual(instances[0]["delays"], instances[1]["delays"], "delays do not depend on the clock")

    def test_the_scores_are_written(self):
        names, values = [line.split("\t") for line in (self.output / "scores.tsv").read_text().splitlines()]
        scores = dict(zip(names, map(float, values)))
        self.assertAlmostEqual(scores["BLEU"], 100, places=3, msg="of a text against itself")
        for metric in ["AL", "LAAL", "DAL"]:
            self.assertGreater(scores[metric], 0)
            self.assertGreaterEqual(scores[f"{metric}_CA"], scores[metric])
