"""Every fenced block of the README and of docs/, run as pasted in a folder that looks like a fresh clone.

What would take hours, or change the machine, runs in the cheaper way that INSTEAD names; a block in a language that runs
nowhere here is an error. So a snippet that does not work does not get in.
"""

import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

import numpy
import soundfile

from support import RATE_HZ, SAMPLE, speech

ROOT = SAMPLE.parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OPEN_URL = os.environ["DECALAGE_OPEN_URL"]
PROGRAM = os.environ["DECALAGE_PROGRAM"]
NODE = os.environ["DECALAGE_NODE"]
PATIENCE_S = 180

BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
# Diagrams, formulas, tables.
NOT_RUN = {"text"}
# Programs that this machine need not have, and what shows that their lines work.
ELSEWHERE = {"docker": "docker/prove", "kubectl": "make test-deploy"}
# The line in the document, what runs instead.
INSTEAD = {
    # They build and test all this; CI runs them.
    "make run": "make --dry-run run > /dev/null",
    "make test": "make --dry-run test > /dev/null",
    "make test-pure": "make --dry-run test-pure > /dev/null",
    # Hours, and the corpus.
    "apt-get install flite espeak-ng npm": "true",
    "scripts/corpus/setup data": "bash -n scripts/corpus/setup",
    "scripts/corpus/generate SHARED data 2": "bash -n scripts/corpus/generate",
    "models/recipes/en-de-small.sh data runs models/en-de-small": "bash -n models/recipes/en-de-small.sh",
    "scripts/evaluate.sh data/eval scores": "bash -n scripts/evaluate.sh",
    "scripts/longform.sh data/eval scores/longform": "bash -n scripts/longform.sh",
    "scripts/probes.sh scores/probes": "bash -n scripts/probes.sh",
    "scripts/baseline.sh data/eval scores/baseline": "bash -n scripts/baseline.sh",
    "scripts/ablation.sh data runs/ablation": "bash -n scripts/ablation.sh",
    # A step of `make test` of its own.
    "scripts/train_tiny.sh": "bash -n scripts/train_tiny.sh",
    # Minutes.
    "decalage bench --find --manifest clips.tsv": "decalage bench --sessions 1 --minutes 0.25 --manifest clips.tsv",
    "decalage bench --url URL --sessions 20": f"decalage bench --url {OPEN_URL} --sessions 2 --minutes 0.25",
    "decalage bench --sessions 1 --minutes 1": "decalage bench --sessions 1 --minutes 0.25",
}


def blocks(language):
    """(where, text) of the blocks in a language."""
    for path in DOCUMENTS:
        text = path.read_text()
        for match in BLOCK.finditer(text):
            if match[2] == language:
                line = text.count("\n", 0, match.start()) + 1
                block = textwrap.dedent(match[3]).replace("://127.0.0.1:8080", OPEN_URL.removeprefix("http"))
                yield f"{path.relative_to(ROOT)}:{line}", block


class Snippets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # A clone with the program built, and a user's own files in it.
        folder = tempfile.TemporaryDirectory(prefix="decalage-snippets-")
        cls.addClassCleanup(folder.cleanup)
        cls.clone = Path(folder.name)
        git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in filter(None, subprocess.check_output(git, cwd=ROOT, text=True).split("\0")):
            if (ROOT / name).is_file():
                (cls.clone / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, cls.clone / name)
        program = cls.clone / "target" / "release" / "decalage"
        program.parent.mkdir(parents=True)
        program.symlink_to(PROGRAM)
        # Without the tests' own variables, which the program would take for settings.
        own = {name: value for name, value in os.environ.items() if not name.startswith("DECALAGE_")}
        cls.environment = {**own, "PATH": f"{program.parent}:{own['PATH']}", "KEY": "sk-mine"}
        samples = numpy.frombuffer(speech(), dtype="<i2")
        soundfile.write(cls.clone / "talk.mp3", samples, RATE_HZ, format="MP3")
        soundfile.write(cls.clone / "talk.wav", samples, RATE_HZ)
        with (cls.clone / "clips.tsv").open("w", newline="") as manifest:
            rows = csv.writer(manifest, delimiter="\t")
            rows.writerow(["id", "audio", "speaker", "seconds", "english", "german"])
            rows.writerow(["talk", "talk.wav", "anna", len(samples) / RATE_HZ, "Good morning.", "Guten Morgen."])

    def run_in_clone(self, where, *command):
        done = subprocess.run(
            command, cwd=self.clone, env=self.environment, text=True, capture_output=True, timeout=PATIENCE_S
        )
        self.assertEqual(done.returncode, 0, f"{where}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        return done.stdout

    def test_every_block_is_of_a_kind_that_is_run(self):
        run = {"sh", "python", "js", "toml", "yaml"} | NOT_RUN
        for path in DOCUMENTS:
            kinds = {match[2] for match in BLOCK.finditer(path.read_text())}
            self.assertLessEqual(kinds, run, path)

    def test_commands(self):
        unused = set(INSTEAD) | set(ELSEWHERE)
        for where, text in blocks("sh"):
            lines = []
            for line in text.replace("\\\n", " ").splitlines():
                command = re.sub(r"\s+#.*", "", line).strip()
                program = command.partition(" ")[0]
                unused -= {command, program}
                line = line.replace("decalage stream", f"decalage stream --url {OPEN_URL}")  # else the usual port
                lines.append("true" if program in ELSEWHERE else INSTEAD.get(command, line))
            with self.subTest(where):
                self.run_in_clone(where, "bash", "-euo", "pipefail", "-c", "\n".join(lines))
        self.assertFalse(unused, "in no document any more")

    def test_python(self):
        for where, text in blocks("python"):
            with self.subTest(where):
                self.assertGreaterEqual(len(self.run_in_clone(where, sys.executable, "-c", text).split()), 10)

    def test_pages(self):
        """A browser's script, with a recorder that hears the sample; Node brings the WebSocket."""
        browser = """
            import { readFileSync } from "node:fs";
            const document = { body: { append: (text) => process.stdout.write(text) } };
            const media = { getUserMedia: async () => "the microphone" };
            Object.defineProperty(globalThis.navigator, "mediaDevices", { value: media });
            class MediaRecorder {
                constructor(stream) { if (stream !== "the microphone") process.exit(1); }
                start() { this.ondataavailable({ data: readFileSync("models/en-de-small/sample.opus") }); }
            }
            setTimeout(() => process.exit(), 8000);
        """
        for where, text in blocks("js"):
            with self.subTest(where):
                script = self.clone / "page.mjs"
                script.write_text(browser + text)
                self.assertTrue(self.run_in_clone(where, NODE, str(script)).strip(), "no words came")

    def test_settings(self):
        for where, text in blocks("toml"):
            with self.subTest(where):
                config = self.clone / "config.toml"
                config.write_text(text)
                self.run_in_clone(where, PROGRAM, "serve", "--check-config", "--config", str(config))
