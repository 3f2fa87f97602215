#!/usr/bin/env bash
# What Whisper-base, run by faster-whisper on one thread, hears on the same sets, and what a bundle's text model makes of it:
# the baseline of transcript and translation. Both see whole clips.
#
# usage: scripts/baseline.sh EVAL OUT [BUNDLE]
set -euo pipefail
eval=$(realpath "$1") out=$(realpath -m "$2") bundle=$(realpath "${3:-$(dirname "$0")/../models/en-de-small}")
cd "$(dirname "$0")/.."
python=${CARGO_TARGET_DIR:-target}/baseline-python/bin/python
[ -x "$python" ] || python3 -m venv "$(dirname "$python")/.."
"$python" -m pip install --quiet --requirement scripts/baseline/requirements.txt
mapfile -t manifests < <(ls "$eval"/test-*.tsv | grep -v '\.segments\.tsv$')
"$python" scripts/baseline/transcribe.py "${manifests[@]}" --out "$out"
cargo build --locked --release
for manifest in "$out"/test-*.tsv; do
    echo "== $(basename "$manifest" .tsv)"
    "${CARGO_TARGET_DIR:-target}/release/decalage" evaluate --text --manifest "$manifest" --bundle "$bundle" --k inf --json "${manifest%.tsv}.json"
done
