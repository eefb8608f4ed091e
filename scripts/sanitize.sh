#!/usr/bin/env bash
# scripts/sanitize.sh asan|tsan -j JOBS: the unit tests and the API tests in a sanitized build.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
jobs=$3
scripts/build.sh "$preset" -j "$jobs" quern quern_tests
ctest --test-dir "build/$preset" --output-on-failure -j "$jobs" -L unit
QUERN_BIN=build/$preset/src/cli/quern build/venv/bin/python -m pytest -q -p no:cacheprovider tests/api
printf '%s: clean\n' "$preset"
