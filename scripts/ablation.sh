#!/usr/bin/env bash
# Trains and scores small models that differ in one thing each, for the tables of models/README.md: hours of one core. Run it
# again to go on; what has its scores is not repeated. OUT/decalage is a copy, so that no build changes the runs; remove it,
# and the folders of the runs to repeat, after a change of the program.
#
# usage: scripts/ablation.sh DATA OUT [RUN...]       DATA as scripts/corpus/generate makes it; RUN: names in ablation/run.py
#        python3 scripts/ablation/table.py OUT       the tables so far
set -euo pipefail
data=$(realpath "$1") out=$(realpath -m "$2")
shift 2
cd "$(dirname "$0")/.."
mkdir -p "$out"
[ -e "$data/ablation/joined.tsv" ] || "${PYTHON:-.venv/bin/python}" scripts/ablation/clips.py "$data"
if [ ! -e "$out/decalage" ]; then
    cargo build --locked --release
    cp "${CARGO_TARGET_DIR:-target}/release/decalage" "$out/decalage"
fi
exec python3 scripts/ablation/run.py "$data/ablation" "$out" "$out/decalage" "$@"
