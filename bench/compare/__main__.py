#!/usr/bin/env python3
"""Runs Quern and other engines in turn on one file and prints ratios.

The engines alternate: round 1 of all, round 2 of all, and so on, so that a machine that slows down slows all of them.
Each figure is the median of the rounds, +- half the range between its quartiles; MiB is the most memory that was resident,
the checkpoint's pages included (Quern's without the buffer that its ceilings are measured with). Standard library only.

  python3 bench/compare model.gguf --peer llama.cpp=/path/to/llama-bench
  python3 bench/compare model.gguf --peer "ik=/path/to/llama-bench -rtr 1 -fmoe 1 -fa 1" --prompt 512,2048 --generate 128
  python3 bench/compare model.gguf --python /venv/bin/python --prompt 0 --generate 64 --depth 8192
  python3 bench/compare model.gguf --peer llama.cpp=/path/to/llama-bench --prompt 0 --generate 32 --batch 8
  python3 bench/compare model.gguf --peer "ik=/path/to/llama-batched-bench -rtr -fa on" --prompt 0 --generate 32 --batch 8

--peer takes any program with llama-bench's flags and its JSON output, and flags of its own behind it. Several sequences
(--batch) are measured with the llama-batched-bench that lies beside it, without the flags; name that program itself to give
it flags. --python is a Python that has llama-cpp-python (pip install llama-cpp-python builds it for this machine).
"""
import argparse
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]


class Failed(Exception):
    """A program did not run; the text says which and what it wrote."""


def run(command, prefix, also_stderr=False):
    """What the command wrote, and the most memory that was resident for it, in bytes."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([*prefix, *command], stdout=out, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            raise Failed(f"{shlex.join(command)}: exit {process.returncode}: {errors.read().strip()[-600:]}")
        return out.read() + (errors.read() if also_stderr else ""), usage.ru_maxrss * 1024


class Quern:
    """quern bench; the first round also tells the machine's ceilings and what a test must read and compute."""

    def __init__(self, program, flags):
        self.name, self.program, self.flags, self.row = "quern", program, flags, {}

    def measure(self, model, test, threads, prefix):
        out, _ = run([self.program, "bench", model, "--format", "json", "--repeat", "1", "--threads", str(threads),
                      "--prompt", str(test["prompt"]), "--generate", str(test["generate"]), "--depth", str(test["depth"]),
                      "--batch", str(test["batch"]), *self.flags], prefix)
        row = json.loads(out)["rows"][0]
        best = max(self.row.get("read_bytes_per_second", 0), row["read_bytes_per_second"])
        self.row = {**row, "read_bytes_per_second": best}
        # Not the process's own peak: measuring the ceilings takes memory for itself.
        return row["tokens_per_second"], row["peak_resident_bytes"]

    def fractions(self, speed):
        """Of read rate and of arithmetic, for any engine's tokens per second on the last test."""
        factor = speed / self.row["tokens_per_second"]
        return self.row["read_fraction"] * factor, self.row["compute_fraction"] * factor


class LlamaBench:
    """Any program with llama-bench's flags."""

    def __init__(self, name, command):
        self.name, (self.program, *self.flags) = name, shlex.split(command)
        about = subprocess.run([self.program, "--help"], capture_output=True, text=True, check=False)
        self.has_depth = "--n-depth" in about.stdout + about.stderr

    def measure(self, model, test, threads, prefix):
        if test["batch"] > 1:
            return self.measure_batch(model, test, threads, prefix)
        out, resident = run([self.program, "-m", model, "-t", str(threads), "-r", "1", "-o", "json",
                             *self.of_test(test), *self.flags], prefix)
        return json.loads(out[out.index("["):])[0]["avg_ts"], resident

    def of_test(self, test):
        plain = ["-p", str(test["prompt"]), "-n", str(test["generate"])]
        if not test["depth"]:
            return plain
        if self.has_depth:
            return [*plain, "-d", str(test["depth"])]
        if test["prompt"]:
            raise Failed(f"{self.program} has no --n-depth, and reads prompts from the beginning only")
        return ["-p", "0", "-n", "0", "-gp", f"{test['depth']},{test['generate']}"]

    def measure_batch(self, model, test, threads, prefix):
        named = "batched-bench" in self.program  # its flags differ from llama-bench's
        program = self.program if named else str(pathlib.Path(self.program).with_name("llama-batched-bench"))
        each = max(test["depth"], 1)
        total = (each + test["generate"]) * test["batch"] + 64
        out, resident = run([program, "-m", model, "-t", str(threads), "-c", str(total), "-npp", str(each),
                             "-ntg", str(test["generate"]), "-npl", str(test["batch"]),
                             *(self.flags if named else [])], prefix, also_stderr=True)  # ik_llama.cpp's goes there
        # | PP | TG | B | N_KV | T_PP s | S_PP t/s | T_TG s | S_TG t/s | ...
        rows = [line.split("|") for line in out.splitlines() if line.startswith("|") and line[1:8].strip().isdigit()]
        if not rows:
            raise Failed(f"{program}: no row in its table")
        return float(rows[-1][8]), resident


class LlamaCppPython:
    """llama-cpp-python in a Python of its own."""

    name = "llama-cpp-python"

    def __init__(self, python):
        self.python = python

    def measure(self, model, test, threads, prefix):
        if test["batch"] > 1:
            raise Failed("llama-cpp-python generates one sequence at a time")
        out, resident = run([self.python, str(HERE / "llama_cpp_python.py"), model, str(threads), str(test["depth"]),
                             str(test["prompt"]), str(test["generate"])], prefix)
        return json.loads(out.splitlines()[-1])["tokens_per_second"], resident


def numbers(text):
    return [int(part) for part in text.split(",")]


def tests_of(args):
    for depth in args.depth:
        for prompt in args.prompt:
            if prompt:
                yield {"prompt": prompt, "generate": 0, "depth": depth, "batch": 1}
        for batch in args.batch:
            for generate in args.generate:
                if generate:
                    yield {"prompt": 0, "generate": generate, "depth": depth, "batch": batch}


def label(test):
    name = f"pp{test['prompt']}" if test["prompt"] else f"tg{test['generate']}"
    return name + (f" x{test['batch']}" if test["batch"] > 1 else "") + (f" @{test['depth']}" if test["depth"] else "")


def half_range(values):
    if len(values) < 2:
        return 0.0
    quartiles = statistics.quantiles(values, n=4, method="inclusive")
    return (quartiles[2] - quartiles[0]) / 2


def compare(engines, test, args):
    """{engine: [(tokens per second, resident bytes) per round]}; an engine that fails is reported once and left out."""
    speeds = {engine: [] for engine in engines}
    for done in range(args.rounds):
        for engine in list(speeds):
            if sys.stderr.isatty():
                print(f"\r\x1b[K{label(test)}: round {done + 1} of {args.rounds}, {engine.name}", end="", file=sys.stderr)
            try:
                speeds[engine].append(engine.measure(args.model, test, args.threads, args.prefix))
            except (Failed, OSError, ValueError, LookupError) as error:
                print(f"\n{label(test)}: {engine.name} left out: {error}", file=sys.stderr)
                del speeds[engine]
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    return speeds


def print_test(test, speeds, quern):
    if quern not in speeds:
        raise SystemExit("quern did not run")
    ours = [speed for speed, _ in speeds[quern]]
    for engine, values in speeds.items():
        speed, resident = zip(*values)
        median = statistics.median(speed)
        read, peak = quern.fractions(median)
        ratio = "" if engine is quern else f"{statistics.median(ours) / median:6.2f}x"
        print(f"{label(test):16} {engine.name:18} {median:9.2f} +- {half_range(speed):6.2f} {ratio:>9} "
              f"{100 * read:7.1f} {100 * peak:7.1f} {max(resident) / 2**20:9.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--quern", default=str(ROOT / "build/quern"), help="the program (default: %(default)s)")
    parser.add_argument("--quern-flags", type=shlex.split, default=[], help="more flags for quern bench")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND", help="may be given more than once")
    parser.add_argument("--python", metavar="PYTHON", help="a Python with llama-cpp-python")
    parser.add_argument("--prompt", type=numbers, default=[512])
    parser.add_argument("--generate", type=numbers, default=[128])
    parser.add_argument("--depth", type=numbers, default=[0])
    parser.add_argument("--batch", type=numbers, default=[1])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prefix", type=shlex.split, default=[], help="put before every measured command, e.g. taskset -c 0-3")
    args = parser.parse_args()
    quern = Quern(args.quern, args.quern_flags)
    engines = [quern]
    for peer in args.peer:
        name, equals, command = peer.partition("=")
        if not equals:
            parser.error(f"--peer {peer}: expected NAME=COMMAND")
        engines.append(LlamaBench(name, command))
    if args.python:
        engines.append(LlamaCppPython(args.python))
    print(f"{pathlib.Path(args.model).name}, {args.threads} threads, medians of {args.rounds}")
    print(f"{'test':16} {'engine':18} {'tok/s':>9}    {'':6} {'quern is':>9} {'% read':>7} {'% peak':>7} {'MiB':>9}")
    for test in tests_of(args):
        print_test(test, compare(engines, test, args), quern)
    if quern.row:
        row = quern.row
        print(f"ceilings: read {row['read_bytes_per_second'] / 1e9:.1f} GB/s, int8 {row['int8_ops_per_second'] / 1e12:.2f}, "
              f"bf16 {row['bf16_ops_per_second'] / 1e12:.2f}, f32 {row['f32_ops_per_second'] / 1e12:.2f} Top/s")


if __name__ == "__main__":
    main()
