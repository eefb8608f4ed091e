#!/usr/bin/env bash
# Formatting, layering and clang-tidy over our own sources.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t sources < <(git ls-files 'src/*.h' 'src/*.cc' 'tests/*.h' 'tests/*.cc')
clang-format --dry-run -Werror "${sources[@]}"
python3 tests/layering/check_layers.py .
scripts/build.sh release -j "$(nproc)" quern
mapfile -t bodies < <(git ls-files 'src/*.cc' | grep -vE '_(test|bench|fuzz)\.cc$')
printf '%s\n' "${bodies[@]}" | xargs -P "$(nproc)" -n 4 clang-tidy-19 --quiet -p build/release
