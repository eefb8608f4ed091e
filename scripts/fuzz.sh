#!/usr/bin/env bash
# scripts/fuzz.sh SECONDS [TARGET...]: builds the libFuzzer targets with clang (preset fuzz, build/fuzz) and runs each of
# them, or the ones named, for SECONDS on its corpus. Exits non-zero when one crashes, hangs or passes 2 GB, and says which
# input did it. New inputs are kept in build/fuzz/corpus/TARGET; the committed corpus is only read.
set -uo pipefail
cd "$(dirname "$0")/.."
if [ $# -lt 1 ] || ! [ "$1" -gt 0 ] 2>/dev/null; then
  printf 'usage: %s SECONDS [TARGET...]\n' "$0" >&2
  exit 2
fi
seconds=$1
shift
corpora=tests/fuzz/corpus

# The committed corpora are the list of targets: one folder each.
known=()
for folder in "$corpora"/*/; do known+=("$(basename "$folder")"); done
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=("${known[@]}")
for target in "${targets[@]}"; do
  if [ ! -d "$corpora/$target" ]; then
    printf 'no fuzz target "%s": there are %s\n' "$target" "${known[*]}" >&2
    exit 2
  fi
done

scripts/build.sh fuzz -j "${JOBS:-$(nproc)}" "${targets[@]/#/quern_fuzz_}" || exit 1

failed=()
for target in "${targets[@]}"; do
  program=$(find build/fuzz/src -type f -name "quern_fuzz_$target" | head -n 1)
  found=build/fuzz/corpus/$target
  crashes=build/fuzz/crashes/$target
  log=build/fuzz/$target.log
  mkdir -p "$found" "$crashes"
  if "$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
      -artifact_prefix="$crashes/" "$found" "$corpora/$target" >"$log" 2>&1; then
    printf '%-16s %s runs, no crash\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
  else
    printf '%-16s FAILED, see %s; replay: %s %s\n' "$target" "$log" "$program" \
      "$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)"
    grep -m 5 -E 'ERROR|SUMMARY|runtime error|ALARM' "$log"
    failed+=("$target")
  fi
done
if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[*]}"
  exit 1
fi
