#!/usr/bin/env bash
# What `make bench` measures: the tokenizer beside its reference, and every kernel beside this machine's memory ceiling.
# Compare ratios, not absolute figures of two runs; a busy machine shows in the spread.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/build.sh release -j "$(nproc)" quern_tokenize_tool quern_kernels_bench
printf '== tokenizer\n'
build/venv/bin/python bench/tokenizer/compare.py
printf '\n== kernels\n'
build/release/src/kernels/quern_kernels_bench
