#!/usr/bin/env bash
# Trains models/en-de-small: prepare, then text -> ctc -> joint -> export. Run it again to go on after an interruption.
# How the bundled one came about, evening by evening, is in en-de-small.md.
#
# usage: models/recipes/en-de-small.sh DATA RUNS BUNDLE      DATA as scripts/corpus/generate makes it; `text` and `ctc` do not
#        depend on each other, so that one core each can work on them: STAGES="prepare ctc", then STAGES=text beside it.
set -euo pipefail
data=$(realpath "$1") runs=$(realpath -m "$2") bundle=$(realpath -m "$3")
cd "$(dirname "$0")/../.."
stages=${STAGES:-prepare text ctc joint export}
cargo build --locked --release
decalage() { "${CARGO_TARGET_DIR:-target}/release/decalage" "$@"; }

# The last 200 clips of hibari-0 are held out.
split() {
    head -n -200 "$data/corpus/hibari-0.tsv" > "$data/corpus/hibari-0-train.tsv"
    { head -n 1 "$data/corpus/hibari-0.tsv"; tail -n 200 "$data/corpus/hibari-0.tsv"; } > "$data/corpus/hibari-0-dev.tsv"
}

spoken=(
    --data "$data/corpus/hibari-0-train.tsv" --data "$data/corpus/hibari-1.tsv" --data "$data/corpus/hibari-2.tsv"
    --data "$data/corpus/hibari-3.tsv" --data "$data/corpus/hibari-bcontrast.tsv=1.5" --data "$data/corpus/hibari-talks.tsv=1.5"
    --data "$data/corpus/nothing-0.tsv=1.5" --data "$data/corpus/music-0.tsv=2" --data "$data/corpus/romance-0.tsv"
)
# What is not hibari decides how well unseen voices are understood.
others=(
    --data "$data/corpus/kokoro-0.tsv=8" --data "$data/corpus/flite-0.tsv" --data "$data/corpus/pico-0.tsv=1.5"
    --data "$data/corpus/librispeech-train-clean-5.tsv=0.6" --data "$data/corpus/ljspeech-part.tsv"
)
disturbances=(--noise-dir "$data/noise" --room-dir "$data/rooms")
common=(--assets "$runs/assets" --save-minutes 4)

for stage in $stages; do
    case $stage in
    prepare)
        split
        [ -e "$runs/assets/config.json" ] || decalage prepare --text "$data/text/train.tsv" --english "$data/text/books.txt" --size small \
            --manifest "$data/corpus/hibari-0-train.tsv" --manifest "$data/corpus/librispeech-train-clean-5.tsv" \
            --out "$runs/assets"
        sed --in-place 's/"reach_segments": null/"reach_segments": 2/' "$runs/assets/config.json"
        ;;
    text)
        decalage train --task text "${common[@]}" --data "$data/text/train.tsv" --dev "$data/text/dev.tsv" \
            --out "$runs/text" --updates 5700 --decay 900 --batch 3000 --rate 2e-3 --warmup 300 --join 0.15 --as-heard 0.6 \
            --threads 1 --eval-every 500
        ;;
    ctc)
        decalage train --task ctc "${common[@]}" "${spoken[@]}" "${others[@]}" "${disturbances[@]}" \
            --dev "$data/corpus/hibari-0-dev.tsv" --out "$runs/ctc" --updates 11000 --batch 60 --rate 1.5e-3 \
            --warmup 400 --join 0.1 --speed 0.5 --noise 0.1 --room 0.05 --no-specaugment --threads 1 --eval-every 500
        ;;
    joint)
        decalage train --task joint "${common[@]}" "${spoken[@]}" "${others[@]}" "${disturbances[@]}" \
            --dev "$data/corpus/hibari-0-dev.tsv" --out "$runs/joint" \
            --init decoder="$runs/text/checkpoint.safetensors" --init encoder="$runs/ctc/checkpoint.safetensors" \
            --updates 15600 --decay 1800 --batch 40 --rate 1.5e-3 --warmup 150 --ctc-weight 0.5 --offline-share 0.3 \
            --max-k 5 --join 0.12 --speed 0.4 --noise 0.1 --room 0.05 --no-specaugment --threads 2 --eval-every 500
        ;;
    export)
        decalage export --checkpoint "$runs/joint/checkpoint.safetensors" --text "$runs/text/checkpoint.safetensors" \
            --assets "$runs/assets" --out "$bundle"
        ;;
    *)
        echo "unknown stage $stage, allowed: prepare text ctc joint export" >&2
        exit 2
        ;;
    esac
done
