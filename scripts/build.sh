#!/usr/bin/env bash
# scripts/build.sh PRESET -j JOBS TARGET...   configures (once) and builds into build/PRESET.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
jobs=$3
shift 3
dir=build/$preset
if [ ! -f "$dir/build.ninja" ]; then
  mkdir -p "$dir"
  cmake --preset "$preset" >"$dir/configure.log" 2>&1 || { cat "$dir/configure.log" >&2; exit 1; }
fi
# On a terminal ninja shows its own progress line; elsewhere only what fails is worth printing.
if [ -t 1 ]; then
  ninja -C "$dir" -j "$jobs" "$@"
else
  ninja -C "$dir" -j "$jobs" "$@" >"$dir/build.log" 2>&1 || { tail -n 80 "$dir/build.log" >&2; exit 1; }
fi
