#!/usr/bin/env bash
# What Whisper-base, run by faster-whisper on one thread, hears on the same sets: the baseline of the transcript.
#
# usage: scripts/baseline.sh EVAL OUT
set -euo pipefail
eval=$(realpath "$1") out=$(realpath -m "$2")
cd "$(dirname "$0")/.."
python=${CARGO_TARGET_DIR:-target}/baseline-python/bin/python
[ -x "$python" ] || python3 -m venv "$(dirname "$python")/.."
"$python" -m pip install --quiet --requirement scripts/baseline/requirements.txt
mapfile -t manifests < <(ls "$eval"/test-*.tsv | grep -v '\.segments\.tsv$')
"$python" scripts/baseline/transcribe.py "${manifests[@]}" --out "$out"
