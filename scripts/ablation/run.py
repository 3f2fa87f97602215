"""Small models that differ from the default in one thing each, trained and scored one after the other.

A run is stages in folders: `text` for its decoder, `ctc` for its encoder, shared by all runs whose part is the same, then
`joint`, then scores of single and of joined sentences. Run it again to go on: what has its scores is not repeated, and
training resumes from its last checkpoint. Every run has the same updates and the same seed. `table.py` shows the scores.
"""

import argparse
import json
import os
import shutil
import subprocess
from pathlib import Path

SHAPE = {"d_model": 128, "ffn_dim": 512, "head_dim": 32, "encoder_layers": 4, "decoder_layers": 2}
UPDATES = {"text": 800, "ctc": 3000, "joint": 2000}
LAGS = "1,3,5,7,inf"
SHORT, LONG = ["--join", "0.15", "--max-joined", "4"], ["--join", "0.5", "--max-joined", "12"]
# A decoder learns where to look on short inputs, and only then on long ones: up to `SHORT_UPDATES` they are short.
SHORT_UPDATES = 1000
OPTIONS = {
    "text": ["--batch", "3000", "--rate", "2e-3"],
    "ctc": ["--batch", "40", "--rate", "2e-3", "--speed", "0", "--voice", "0", "--no-specaugment"],
    "joint": ["--batch", "40", "--rate", "1.5e-3", "--speed", "0", "--voice", "0", "--no-specaugment"],
}
# What `joint` is told of the masks and of the losses unless a run says otherwise.
JOINT = {"offline-share": 0.3, "min-k": 1, "max-k": 7, "ctc-weight": 0.5}
# Which keys of the config a stage depends on.
OF_ENCODER = ["encoder_self", "steps_per_segment", "max_utterance_segments", "frames_per_step"]
OF_DECODER = ["decoder_self", "decoder_cross", "window_steps"]
OF_BOTH = ["convolution", "ffn_dim", "epsilon"]

STREAMING = {"offline-share": 0}
# A third of the feed-forward blocks goes, so that a step costs what it costs with LSRA.
NO_LSRA = {"convolution": "none", "ffn_dim": 344}
# Letters come faster than steps of 80 ms, so CTC needs longer labels there.
PIECES = {"source_vocab": 500}
# Name -> what differs: keys of the config, of JOINT, and `source_vocab`. The order is the one in which they are run.
RUNS: dict[str, dict] = {
    "default": {},
    # Offline it would see the end of the source alone: it is trained for wait-k only.
    "cross window of 64": {"decoder_cross": "window", "window_steps": 64, **STREAMING},
    # The text stage knows no reach, so it shares the default's.
    "reach of 3 segments": {"reach_segments": 3},
    "cross relu": {"decoder_cross": "relu"},
    "cross leap": {"decoder_cross": "leap"},
    "cross cosformer": {"decoder_cross": "cosformer"},
    "no LSRA": NO_LSRA,
    "x8, source pieces": {"frames_per_step": 8, "steps_per_segment": 4, **PIECES},
    "segments of 160 ms": {"steps_per_segment": 4, "max_utterance_segments": 156},
    "segments of 640 ms": {"steps_per_segment": 16, "max_utterance_segments": 39},
    "k = 3 only": {"min-k": 3, "max-k": 3, **STREAMING},
    "CTC weight 0.3": {"ctc-weight": 0.3},
    "encoder softmax": {"encoder_self": "softmax"},
    "encoder relu": {"encoder_self": "relu"},
    "encoder cosformer": {"encoder_self": "cosformer"},
    "decoder softmax": {"decoder_self": "softmax"},
    "decoder relu": {"decoder_self": "relu"},
    "decoder cosformer": {"decoder_self": "cosformer"},
    "epsilon 1e-3": {"epsilon": 1e-3},
    # Controls: what the rows above also changed.
    "wait-k only": STREAMING,
    "source pieces": PIECES,
    "cross window of 32": {"decoder_cross": "window", "window_steps": 32, **STREAMING},
    "cross window of 96": {"decoder_cross": "window", "window_steps": 96, **STREAMING},
    "CTC weight 1": {"ctc-weight": 1.0},
    "cross leap, wait-k only": {"decoder_cross": "leap", **STREAMING},
}


def folder_of(out: Path, task: str, changes: dict) -> Path:
    """Where a stage is; of `joint`, also the scores."""
    return out / ",".join([task, *(f"{key}={value}" for key, value in sorted(changes.items()))])


class Queue:
    """Runs stages in `out`, with clips of `data`."""

    def __init__(self, data: Path, out: Path, program: Path):
        self.data, self.out, self.program = data, out, program

    def call(self, *arguments: object, log: Path, stdout: Path | None = None) -> None:
        """Whatever the program says goes to `log`; stops at its first failure."""
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with open(log, "ab") as err, open(stdout or os.devnull, "wb") as to:
            subprocess.run([self.program, *map(str, arguments)], check=True, stdout=to, stderr=err, env=environment)

    def prepare(self, source_vocab: int) -> Path:
        """Tokenizers and statistics, which depend on the labels alone."""
        folder = self.out / f"assets-{source_vocab}"
        if not (folder / "config.json").exists():
            self.call("prepare", "--text", self.data / "pairs.tsv", "--manifest", self.data / "train.tsv",
                      "--target-vocab", 1000, "--source-vocab", source_vocab, "--out", folder, log=self.out / "log")
        return folder

    def stage(self, task: str, changes: dict, *options: object) -> Path:
        """Trains one stage to its end and returns its folder, in which `assets` has its config."""
        folder = folder_of(self.out, task, changes)
        assets = folder / "assets"
        if not assets.exists():
            partial = folder / "assets.tmp"
            shutil.copytree(self.prepare(changes.get("source_vocab", 0)), partial, dirs_exist_ok=True)
            config = json.loads((partial / "config.json").read_text())
            shape = {key: value for key, value in changes.items() if key in config["model"] and key != "source_vocab"}
            config["model"].update(SHAPE | shape)
            (partial / "config.json").write_text(json.dumps(config, indent=2))
            partial.rename(assets)
        corpus = "pairs" if task == "text" else "train"
        held_out = [] if task == "text" else ["--dev", self.data / "single.tsv"]
        common = ["train", "--task", task, "--assets", assets, "--data", self.data / f"{corpus}.tsv", *held_out, "--out", folder,
                  "--warmup", 100, "--threads", 1, "--seed", 1, "--save-minutes", 2, "--eval-every", 500, *OPTIONS[task], *options]

        def once(marker: str, *arguments: object) -> None:
            if not (folder / marker).exists():
                self.call(*common, *arguments, log=folder / "log")
                (folder / marker).touch()

        updates = UPDATES[task]
        if task == "joint":
            once("short", "--updates", SHORT_UPDATES, *SHORT)
        once("done", "--updates", updates, "--decay", updates // 4, *(SHORT if task == "text" else LONG))
        return folder

    def run(self, changes: dict) -> None:
        """All of one run, to its scores."""
        of = lambda keys: {key: changes[key] for key in keys if key in changes}
        decoder = of(OF_DECODER + OF_BOTH)
        if decoder.get("decoder_cross") == "window":  # sentences of the text stage fit into it: it is softmax there
            decoder = {key: value for key, value in decoder.items() if key not in ("decoder_cross", "window_steps")}
        text = self.stage("text", decoder)
        ctc = self.stage("ctc", of([*OF_ENCODER, *OF_BOTH, "source_vocab"]))
        options = [f"--{key}={changes.get(key, value)}" for key, value in JOINT.items()]
        joint = self.stage("joint", changes, "--init", f"decoder={text / 'checkpoint.safetensors'}",
                           "--init", f"encoder={ctc / 'checkpoint.safetensors'}", *options)
        bundle, log = joint / "bundle", joint / "log"
        if not (joint / "info.json").exists():
            self.call("export", "--checkpoint", joint / "checkpoint.safetensors", "--assets", joint / "assets", "--out", bundle,
                      log=log)
            self.call("info", "--json", bundle, log=log, stdout=joint / "info.tmp")
            (joint / "info.tmp").rename(joint / "info.json")
        # What joins sentences here are their pauses, so the detector must not take them apart again.
        for name, detector in ("single", []), ("joined", ["--vad-threshold", "0"]):
            if not (joint / f"{name}.json").exists():
                self.call("evaluate", "--manifest", self.data / f"{name}.tsv", "--bundle", bundle, "--k", LAGS, "--threads", 1,
                          *detector, "--json", joint / f"{name}.tmp", log=log)
                (joint / f"{name}.tmp").rename(joint / f"{name}.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="what clips.py wrote")
    parser.add_argument("out", type=Path, help="folder of the runs")
    parser.add_argument("program", type=Path, help="decalage")
    parser.add_argument("names", nargs="*", help="runs, all of them if none is named: " + "; ".join(RUNS))
    args = parser.parse_args()
    unknown = set(args.names) - set(RUNS)
    if unknown:
        parser.error(f"no such run: {', '.join(unknown)}; there are: {'; '.join(RUNS)}")
    queue = Queue(args.data.resolve(), args.out.resolve(), args.program.resolve())
    for name in args.names or RUNS:
        print(name, flush=True)
        queue.run(RUNS[name])


if __name__ == "__main__":
    main()
