"""simulstream: its own client sends the recording, its own scorer reads the log that the server has written."""

import json
import math
import subprocess
import sys
import unittest

from support import EVAL_LOG, EVAL_URL, RATE_HZ, folder, speech, streamed_text, wav


def run(module, *arguments):
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise AssertionError(f"{module} failed:\n{done.stderr}")
    return done.stdout


class Simulstream(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        wavs = folder() / "wavs.txt"
        wavs.write_text(f"{wav()}\n")
        socket = EVAL_URL.replace("http", "ws", 1) + "/"
        run("simulstream.client.wav_reader_client", "--uri", socket, "--wav-list-file", wavs,
            "--src-lang", "en", "--tgt-lang", "de")
        cls.config = folder() / "evaluation.yaml"
        cls.config.write_text("detokenizer_type: simuleval\nlatency_unit: word\n")

    def test_the_log_holds_the_translation(self):
        with open(EVAL_LOG) as log:
            lines = [json.loads(line) for line in log]
        self.assertEqual(list(lines[0]), ["model_loading_time"])
        (identity,) = [line["id"] for line in lines if line.get("metadata") == {"wav_name": str(wav())}]
        chunks = [line for line in lines if line.get("id") == identity and "metadata" not in line]
        self.assertEqual([word for chunk in chunks for word in chunk["generated_tokens"]], streamed_text().split())
        self.assertFalse([chunk for chunk in chunks if chunk["deleted_tokens"]])
        processed = [chunk["total_audio_processed"] for chunk in chunks]
        self.assertEqual(processed, sorted(processed))
        # The client sends its last chunk, up to 100 ms, twice.
        seconds = len(speech()) / 2 / RATE_HZ
        self.assertTrue(seconds <= processed[-1] <= seconds + 0.1 + 1e-9, processed[-1])
        self.assertTrue(0 < sum(chunk["computation_time"] for chunk in chunks) < seconds)

    def test_the_statistics_can_be_computed(self):
        stats = run("simulstream.metrics.stats", "--eval-config", self.config, "--log-file", EVAL_LOG)
        stats = json.loads(stats.removeprefix("Stats: "))
        self.assertEqual(stats["normalized_erasure"]["value"], 0, "what is committed stays")
        self.assertTrue(0 < stats["real_time_factor"]["value"] < 1, stats)

    def test_the_latency_can_be_scored(self):
        seconds = len(speech()) / 2 / RATE_HZ
        segments, reference = folder() / "segments.yaml", folder() / "reference.txt"
        segments.write_text(f"- {{wav: {wav().name}, offset: 0.0, duration: {seconds}}}\n")
        reference.write_text(streamed_text().strip() + "\n")
        score = run("simulstream.metrics.score_latency", "--eval-config", self.config, "--log-file", EVAL_LOG,
                    "--audio-definition", segments, "--reference", reference, "--scorer", "stream_laal")
        ideal, aware = [float(part.split("=")[1].rstrip(")\n")) for part in score.split("(")[-1].split(",")]
        self.assertTrue(math.isfinite(ideal) and 0 < ideal < seconds, score)
        self.assertGreaterEqual(aware, ideal)
