#!/usr/bin/env bash
# Every test: scripts/test.sh -j JOBS. Called by `make test` after set-up. Stops at the end, not at the first failure, and
# says which stages failed.
set -uo pipefail
cd "$(dirname "$0")/.."
jobs=${2:-2}
failed=()

stage() {
  local name=$1 start=$SECONDS
  shift
  printf '\n== %s\n' "$name"
  if "$@"; then
    printf -- '-- %s: ok, %d s\n' "$name" $((SECONDS - start))
  else
    printf -- '-- %s: FAILED, %d s\n' "$name" $((SECONDS - start))
    failed+=("$name")
  fi
}

build_all() {
  scripts/build.sh release -j "$jobs" quern quern_tests quern_headers_alone &&
    cp -f build/release/src/cli/quern build/quern.new && mv -f build/quern.new build/quern
}

python_tests() {
  QUERN_BIN=build/quern build/venv/bin/python -m pytest -q -p no:cacheprovider tests
}

stage "build, and every header alone" build_all
stage "unit tests" ctest --test-dir build/release --output-on-failure -j "$jobs"
stage "fuzz targets, 15 s each" scripts/fuzz.sh 15
stage "tests through the program" python_tests

if [ ${#failed[@]} -gt 0 ]; then
  printf '\nfailed stages: %s\n' "${failed[*]}"
  exit 1
fi
printf '\nall stages passed in %d s\n' "$SECONDS"
