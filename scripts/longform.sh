#!/usr/bin/env bash
# Ten minutes without a break, scored with OmniSTEval: the sentences are found again in the translation by minimum word error
# rate, then BLEU and latency are computed sentence by sentence. Scores and lag.png land in OUT.
#
# usage: scripts/longform.sh EVAL OUT [BUNDLE]       EVAL: the folder of test-*.tsv that scripts/corpus/real.py makes
set -euo pipefail
eval=$(realpath "$1") out=$(realpath -m "$2") bundle=$(realpath "${3:-$(dirname "$0")/../models/en-de-small}")
cd "$(dirname "$0")/.."
lags=${K:-3,5,7}
target=${CARGO_TARGET_DIR:-target}
cargo build --locked --release
python=$target/longform-python/bin/python
[ -x "$python" ] || python3 -m venv "$target/longform-python"
"$python" -m pip install --quiet --requirement scripts/longform/requirements.txt

"$python" scripts/longform/join.py "$eval/test-talks-unseen.tsv" "$out"
"$target/release/decalage" evaluate --manifest "$out/longform.tsv" --bundle "$bundle" --k "$lags" --out "$out"
for k in ${lags//,/ }; do
    # SimulEval's format counts all computing so far into each word's time; the flag takes what is not its own off again.
    "$target/longform-python/bin/omnisteval" longform --word_level --lang de --fix_simuleval_emission_ca \
        --speech_segmentation "$out/segments.json" --ref_sentences_file "$out/references.txt" \
        --hypothesis_file "$out/instances-k$k.log" --output_folder "$out/k$k" > /dev/null
    echo "== k = $k"
    tail -n +2 "$out/k$k/scores.tsv"
done
"$python" scripts/longform/plot.py "$out" ${lags//,/ }
