#!/usr/bin/env bash
# Scores a bundle on every set that is held out: a table and twenty examples on stdout; scores, plots and SimulEval logs in OUT,
# one folder a set.
#
# usage: scripts/evaluate.sh EVAL OUT [BUNDLE]
# EVAL: the folder of test-*.tsv that scripts/corpus/real.py makes, and of dev-*.tsv that scripts/corpus/generate does
set -euo pipefail
eval=$(realpath "$1") out=$(realpath -m "$2") bundle=$(realpath "${3:-$(dirname "$0")/../models/en-de-small}")
cd "$(dirname "$0")/.."
cargo build --locked --release
for manifest in "$eval"/{dev,test}-*.tsv; do
    set=$(basename "$manifest" .tsv)
    # Times of sentences within passages, or sentences that were passed over, are no clips.
    [[ $set == *.* || ! -e $manifest ]] && continue
    echo "== $set"
    mkdir -p "$out/$set"
    "${CARGO_TARGET_DIR:-target}/release/decalage" evaluate --manifest "$manifest" --bundle "$bundle" \
        --k "${K:-1,3,5,7,inf}" --examples 20 --json "$out/$set/scores.json" --out "$out/$set"
done
