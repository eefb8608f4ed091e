#!/usr/bin/env bash
# Formatting, layering and clang-tidy over our own sources. clang-tidy reads only what changed since it last found nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t sources < <(git ls-files 'src/*.h' 'src/*.cc' 'tests/*.h' 'tests/*.cc')
clang-format --dry-run -Werror "${sources[@]}"
python3 tests/layering/check_layers.py .
scripts/build.sh release -j "$(nproc)" quern
python3 scripts/tidy.py build/release build/lint
