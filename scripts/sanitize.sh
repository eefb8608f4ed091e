#!/usr/bin/env bash
# scripts/sanitize.sh asan|tsan -j JOBS: the unit tests and the API tests in a sanitized build.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
jobs=$3
scripts/build.sh "$preset" -j "$jobs" quern quern_tests
ctest --test-dir "build/$preset" --output-on-failure -j "$jobs" -L unit
# Tests measure the server's memory, and AddressSanitizer would keep 256 MiB of what was freed.
ASAN_OPTIONS=quarantine_size_mb=16 QUERN_BIN=build/$preset/src/cli/quern build/venv/bin/python -m pytest -q -p no:cacheprovider tests/api
printf '%s: clean\n' "$preset"
