#!/usr/bin/env bash
# scripts/mutations.sh COUNT -j JOBS: damaged and hostile files, COUNT per format, under AddressSanitizer and
# UndefinedBehaviorSanitizer with a limit on memory.
set -euo pipefail
cd "$(dirname "$0")/.."
count=$1
jobs=$3
scripts/build.sh asan -j "$jobs" quern_mutations_test
# The quarantine keeps freed memory from reuse; it counts as resident and would hide what the program itself takes.
ASAN_OPTIONS=hard_rss_limit_mb=512:quarantine_size_mb=32:detect_leaks=1 QUERN_MUTATIONS=$count \
  build/asan/tests/mutations/quern_mutations_test
