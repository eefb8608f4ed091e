#!/usr/bin/env bash
# scripts/interop.sh QUERN: files that the program writes, read by llama.cpp (tests/interop/compare.py).
# Its Python: $QUERN_INTEROP_PYTHON when set (it must be able to import llama_cpp), else build/interop-venv, which is made
# here; building llama-cpp-python from source takes many minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
quern=${1:-build/quern}
wanted=0.3.36
python=${QUERN_INTEROP_PYTHON:-build/interop-venv/bin/python}
if [ -z "${QUERN_INTEROP_PYTHON:-}" ] && ! "$python" -c 'import llama_cpp' 2>/dev/null; then
  printf 'interop: building llama-cpp-python %s in build/interop-venv\n' "$wanted"
  python3 -m venv build/interop-venv
  build/interop-venv/bin/pip install -q --disable-pip-version-check "llama-cpp-python==$wanted"
fi
exec "$python" tests/interop/compare.py --quern "$quern"
