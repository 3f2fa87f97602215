#!/usr/bin/env bash
# Two hundred sentences written to be checked by rules: are numbers, times, names and negations right? Needs the corpus's
# packages (scripts/corpus/setup).
#
# usage: scripts/probes.sh OUT [BUNDLE]
set -euo pipefail
out=$(realpath -m "$1") bundle=$(realpath "${2:-$(dirname "$0")/../models/en-de-small}")
cd "$(dirname "$0")/.."
cargo build --locked --release
.venv/bin/python scripts/probes/speak.py "$out"
"${CARGO_TARGET_DIR:-target}/release/decalage" evaluate --manifest "$out/probes.tsv" --bundle "$bundle" --k 3,inf --out "$out"
for k in 3 inf; do
    echo "== k = $k"
    python3 scripts/probes/check.py "$out/instances-k$k.log" --failures "${FAILURES:-10}"
done
