#!/usr/bin/env bash
# What `make bench` measures: the tokenizer beside its reference, every kernel beside this machine's memory ceiling, and the
# server around a model that costs nothing.
# Compare ratios, not absolute figures of two runs; a busy machine shows in the spread.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/build.sh release -j "$(nproc)" quern_tokenize_tool quern_kernels_bench
printf '== tokenizer\n'
build/venv/bin/python bench/tokenizer/compare.py
printf '\n== kernels\n'
build/release/src/kernels/quern_kernels_bench
printf '\n== server\n'
python3 bench/server --quern build/quern
