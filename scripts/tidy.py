#!/usr/bin/env python3
"""clang-tidy over the bodies in src/ (not tests, benches, fuzz targets), those that changed since they last passed.

  tidy.py BUILD STAMPS    BUILD: a built tree with compile_commands.json; STAMPS: where it is kept what passed

A body changed when it, a header that it includes, .clang-tidy or its compile command did. Findings go to stdout; exit 1
when there are any. A first run reads them all, some 270 bodies at several seconds each.
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import subprocess
import sys

TIDY = "clang-tidy-19"
ROOT = pathlib.Path(__file__).resolve().parents[1]
NOT_LINTED = ("_test.cc", "_bench.cc", "_fuzz.cc")


def bodies():
    listed = subprocess.run(["git", "ls-files", "src/*.cc"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split() if not name.endswith(NOT_LINTED)]


def included(build):
    """{body: its headers in the tree}, as the compiler wrote them down."""
    out = subprocess.run(["ninja", "-C", str(build), "-t", "deps"], capture_output=True, text=True, check=True).stdout
    found = {}
    for block in out.split("\n\n"):
        paths = [(build / line.strip()).resolve() for line in block.splitlines()[1:]]
        own = [str(path.relative_to(ROOT)) for path in paths if path.is_relative_to(ROOT / "src")]
        if own:
            found[own[0]] = own[1:]
    return found


class Digest:
    """Of everything a body's findings depend on."""

    def __init__(self, build):
        commands = json.loads((build / "compile_commands.json").read_text())
        self.command = {os.path.relpath(c["file"], ROOT): c["command"] for c in commands}
        self.headers = included(build)
        self.file = {}

    def of(self, body):
        digest = hashlib.sha256(self.command[body].encode())
        for name in [".clang-tidy", body, *sorted(self.headers.get(body, []))]:
            if name not in self.file:
                self.file[name] = hashlib.sha256((ROOT / name).read_bytes()).digest()
            digest.update(self.file[name])
        return digest.hexdigest()


def main():
    build, stamps = (pathlib.Path(arg).resolve() for arg in sys.argv[1:])
    stamps.mkdir(parents=True, exist_ok=True)
    digest = Digest(build)
    wanted = {body: digest.of(body) for body in bodies() if body in digest.command}
    stamp = {body: stamps / body.replace("/", "_") for body in wanted}
    todo = [body for body in wanted if not stamp[body].exists() or stamp[body].read_text() != wanted[body]]

    def tidy(body):
        return body, subprocess.run([TIDY, "--quiet", "-p", str(build), body], cwd=ROOT, capture_output=True, text=True)

    n_bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, (body, result) in enumerate(pool.map(tidy, todo), 1):
            if sys.stderr.isatty():
                print(f"\r\x1b[K[{done}/{len(todo)}] {body}", end="", file=sys.stderr)
            if result.returncode == 0:
                stamp[body].write_text(wanted[body])
                continue
            n_bad += 1
            print(("\n" if sys.stderr.isatty() else "") + (result.stdout.strip() or result.stderr.strip()), flush=True)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    print(f"clang-tidy: {len(todo)} of {len(wanted)} files read, findings in {n_bad}")
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
