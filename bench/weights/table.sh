#!/usr/bin/env bash
# bench/weights/table.sh [QUERN [MODEL [TEXT]]]: writes MODEL in every type and prints how far each is from it, as the table
# of docs/quantization.md. The text is Python that the model in the box was not trained on.
set -euo pipefail
cd "$(dirname "$0")/../.."
quern=${1:-build/quern}
model=${2:-models/demo}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
text=${3:-$folder/text}
[ $# -ge 3 ] || cat tools/demo_model/*.py >"$text"

printf '| type | size | bits per weight | mean KL, nats | same top token | perplexity |\n| --- | --- | --- | --- | --- | --- |\n'
row() { # name, path, arguments of quantize
  local size kl
  size=$("$quern" quantize "$model" "$folder/$1.gguf" "${@:2}" 2>/dev/null | sed -n 's/^[^ ].*: \(.*\), \(.*\) bits per weight$/\1 | \2/p')
  kl=$("$quern" kl "$model" "$folder/$1.gguf" --text "$text" --tokens 2048)
  printf '| %s | %s | %s | %s | %s |\n' "$1" "$size" "$(sed -n 's/^mean KL *\([0-9.]*\).*/\1/p' <<<"$kl")" \
    "$(sed -n 's/^same top token *//p' <<<"$kl")" "$(sed -n 's/^perplexity *\([0-9.]*\).*/\1/p' <<<"$kl")"
  rm "$folder/$1.gguf"
}
cat tests/api/*.py >"$folder/other"
types=(bf16 q8_0 q6_k q5_k_m q5_k_s q4_k_m q4_k_s iq4_nl q4_0 q3_k_l q3_k_m q3_k_s q2_k)
for type in "${types[@]}"; do row "$type" --type "$type"; done
"$quern" imatrix "$model" "$folder/imatrix" --text "$folder/other" --tokens 8192 >/dev/null
for type in q4_k_m iq4_nl q4_0 q3_k_m q2_k; do row "${type}+imatrix" --type "$type" --imatrix "$folder/imatrix"; done
