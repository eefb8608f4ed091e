#!/usr/bin/env python3
"""Fails when a room includes a room that the architecture does not allow it to see.

Usage: check_layers.py ROOT   (ROOT holds src/)
The table below is the arrow list of docs/architecture.md. `ENGINE_ONLY` rooms may see of engine/ only its face.
"""
import pathlib
import re
import sys

ARROWS = {
    "base": [],
    "store": ["base"],
    "tensor": ["base"],
    "kernels": ["tensor", "base"],
    "tokenizer": ["base"],
    "model": ["kernels", "tensor", "base"],
    "grammar": ["tokenizer", "base"],
    "engine": ["model", "kernels", "tensor", "grammar", "tokenizer", "base"],
    "upstream": ["engine", "grammar", "tokenizer", "base"],
    "chat": ["grammar", "tokenizer", "base"],
    "accounts": ["store", "base"],
    "api": ["engine", "chat", "grammar", "tokenizer", "store", "base"],
    "server": ["api", "accounts", "engine", "chat", "tokenizer", "base"],
    "agent": ["chat", "base"],
    "cli": ["server", "api", "agent", "accounts", "store", "upstream", "engine", "model", "kernels", "tensor", "chat", "grammar",
            "tokenizer", "base"],
}
# Nothing above the engine looks past its face; cli builds the objects and may.
ENGINE_ONLY = {"chat", "api", "server", "agent"}
ENGINE_FACE = {"engine/engine.h", "engine/scripted_backend.h"}
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')


def violations(root):
    src = pathlib.Path(root) / "src"
    found = []
    for path in sorted(src.rglob("*")):
        if path.suffix not in {".h", ".cc", ".cu", ".cuh"}:
            continue
        room = path.relative_to(src).parts[0]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            target = match.group(1)
            where = f"{path.relative_to(root)}:{number}"
            to = target.split("/")[0]
            if to not in ARROWS:
                found.append(f"{where}: \"{target}\" is not a path from src/ to a room")
            elif to != room and to not in ARROWS.get(room, []):
                found.append(f"{where}: {room}/ may not include {to}/ ({target})")
            elif to == "engine" and room in ENGINE_ONLY and target not in ENGINE_FACE:
                found.append(f"{where}: {room}/ may see of the engine only {sorted(ENGINE_FACE)}, not {target}")
    return found


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    found = violations(sys.argv[1])
    for line in found:
        print(line)
    print(f"{len(found)} layering violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
