#!/usr/bin/env python3
"""Fails when an object built for one instruction set defines a weak function.

Usage: check_isa_objects.py ARCHIVE   (the kernels library)
The linker keeps one copy of a weak function for the whole program. If that copy comes from a file built with, say,
-mavx512f, the program dies on an older CPU, in code that has nothing to do with AVX-512.
"""
import re
import subprocess
import sys

ISA_OBJECT = re.compile(r"_(avx2|avx512\w*|amx)\.cc\.o:$")
WEAK = re.compile(r"^[0-9a-f]+ [WVu] (.+)$")


def weak_functions(nm_output):
    member, seen, found = None, 0, []
    for line in nm_output.splitlines():
        if line.endswith(":"):
            member = line if ISA_OBJECT.search(line) else None
            seen += member is not None
        elif member and (match := WEAK.match(line)):
            found.append(f"{member} {match.group(1)}")
    return seen, found


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    output = subprocess.run(["nm", "-C", sys.argv[1]], capture_output=True, text=True, check=True).stdout
    seen, found = weak_functions(output)
    for line in found:
        print(line)
    print(f"{seen} objects of one instruction set, {len(found)} weak functions")
    return 1 if found or seen == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
