#!/usr/bin/env bash
# Trains a tiny model on the stored clips through all three stages on a CPU, in less than a minute, and fails unless the
# losses fall and an interrupted run goes on where it stopped. It shows that training works; it does not translate.
#
# usage: scripts/train_tiny.sh [FOLDER]        DECALAGE=path/to/program tests another build than `cargo run`'s.
set -euo pipefail
cd "$(dirname "$0")/.."
speech=tests/fixtures/speech
out=${1:-$(mktemp -d)}
mkdir -p "$out"
[ $# -gt 0 ] || trap 'rm -rf "$out"' EXIT
decalage() { ${DECALAGE:-cargo run --locked --quiet --} "$@"; }

# The text stage reads sentence pairs: two columns of the manifests.
for set in train dev; do tail -n +2 "$speech/$set.tsv" | cut -f 5,6 > "$out/$set-pairs.tsv"; done

# stage NAME UPDATES ARGUMENTS...: a name begins with the task's
stage() {
    local name=$1 updates=$2
    shift 2
    decalage train --task "${name%-*}" --assets "$out/assets" --out "$out/$name" --updates "$updates" "$@" \
        --rate 5e-3 --warmup 10 --threads 2 --eval-every 30 --seed 1
}

# falls STAGE LOSS UPDATES: the loss of the last logged training updates is below 0.9 times that of the first.
falls() {
    python3 - "$out/$1/log.jsonl" "$2" "$3" << 'PYTHON'
import json, sys

path, loss, updates = sys.argv[1], sys.argv[2], int(sys.argv[3])
entries = [json.loads(line) for line in open(path)]
train = [entry for entry in entries if not entry["dev"]]
counts = [entry["update"] for entry in train]
first, last = train[0][loss], train[-1][loss]
held_out = [entry[loss] for entry in entries if entry["dev"]]
print(f"{path}: {loss} {first:.2f} -> {last:.2f} in {counts[-1]} updates; held out {held_out[-1]:.2f}")
if counts != sorted(set(counts)) or counts[-1] != updates:
    sys.exit(f"{path}: logged updates {counts}, expected each once, up to {updates}")
if not last < 0.9 * first:
    sys.exit(f"{path}: {loss} did not fall")
PYTHON
}

decalage prepare --text "$out/train-pairs.tsv" --manifest "$speech/train.tsv" --target-vocab 120 --size tiny \
    --out "$out/assets"

pairs=(--data "$out/train-pairs.tsv" --dev "$out/dev-pairs.tsv" --batch 200)
clips=(--data "$speech/train.tsv" --dev "$speech/dev.tsv" --batch 6)
stage text 20 "${pairs[@]}"
stage text 60 "${pairs[@]}" # resumes: had it begun again, the log would count from 20 a second time
falls text cross_entropy 60
stage ctc 60 "${clips[@]}"
falls ctc ctc 60
stage joint 60 "${clips[@]}" --init decoder="$out/text/checkpoint.safetensors" --init encoder="$out/ctc/checkpoint.safetensors"
falls joint cross_entropy 60

# bf16 products learn, too. oneDNN is kept from AMX, which some virtual machines announce and stop at.
ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 stage ctc-bf16 60 "${clips[@]}" --products bf16
falls ctc-bf16 ctc 60

# What was trained can be served.
decalage export --checkpoint "$out/joint/checkpoint.safetensors" --assets "$out/assets" --out "$out/bundle"
decalage translate --bundle "$out/bundle" --stream --k 3 "$speech"/000001.opus > "$out/translation.txt"
