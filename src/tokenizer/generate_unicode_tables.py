#!/usr/bin/env python3
"""Writes unicode_tables.inc: what the pre-tokeniser and the NFC check need to know of each code point.

The classes \\p{L}, \\p{N} and \\s are asked of the regular-expression engine inside the PyPI package `tokenizers` (its
Unicode version decides where pieces end, and it is newer than that of most system libraries). The normaliser of that
package is older: characters assigned after its Unicode version neither reorder nor compose there. Those that utf8proc
treats otherwise are marked inert. Needs `tokenizers` and libutf8proc.so.2.

    python3 generate_unicode_tables.py > unicode_tables.inc
"""

import ctypes
import sys

from tokenizers import Regex, normalizers, pre_tokenizers

OTHER, LETTER, NUMBER, BLANK, NEWLINE = range(5)
MAY_CHANGE, INERT = 8, 16
BLOCK = 128
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]

# Blocks first assigned in Unicode 16 whose letters compose there; no normaliser older than that may touch them.
COMPOSING_SINCE_16 = [(0x105C0, 0x105FF), (0x11380, 0x113FF), (0x16100, 0x1613F), (0x16D40, 0x16D7F)]

lib = ctypes.CDLL("libutf8proc.so.2")
lib.utf8proc_unicode_version.restype = ctypes.c_char_p
lib.utf8proc_map.argtypes = [ctypes.c_char_p, ctypes.c_ssize_t, ctypes.POINTER(ctypes.c_void_p), ctypes.c_int]
libc = ctypes.CDLL(None)
libc.free.argtypes = [ctypes.c_void_p]
STABLE, COMPOSE, DECOMPOSE = 1 << 1, 1 << 3, 1 << 4


def utf8proc(text, options):
    raw, out = text.encode(), ctypes.c_void_p()
    n = lib.utf8proc_map(raw, len(raw), ctypes.byref(out), options)
    assert n >= 0
    result = ctypes.string_at(out, n).decode()
    libc.free(out)
    return result


def matching(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    found = set()
    for i in range(0, len(CODE_POINTS), 4096):
        text = "".join("\x01\x01" + chr(c) for c in CODE_POINTS[i : i + 4096] if c != 1) + "\x01\x01"
        found.update(ord(piece) for piece, _ in split.pre_tokenize_str(text) if len(piece) == 1)
    return found


def table():
    flags = bytearray(0x110000)
    for value, pattern in ((LETTER, r"\p{L}"), (NUMBER, r"\p{N}"), (BLANK, r"\s")):
        for c in matching(pattern):
            flags[c] = value
    flags[0x0A] = flags[0x0D] = NEWLINE

    reference = normalizers.NFC().normalize_str
    for c in CODE_POINTS:
        text = chr(c)
        # U+0345 has the highest combining class, U+0334 the lowest: whatever reorders moves past one of them.
        probes = ("a\u0345" + text, "a" + text + "\u0334", "a" + text + "\u0300")
        theirs = [reference(p) for p in probes]
        ours = [utf8proc(p, STABLE | COMPOSE) for p in probes]
        if theirs != ours:
            flags[c] |= INERT
            continue
        nfc = utf8proc(text, STABLE | COMPOSE)
        if nfc != text or probes[:2] != tuple(ours[:2]):
            flags[c] |= MAY_CHANGE  # it decomposes or has a combining class
        nfd = utf8proc(text, STABLE | DECOMPOSE)
        if nfc == text and len(nfd) > 1 and reference(nfd) == text:
            flags[ord(nfd[-1])] |= MAY_CHANGE  # it can join the character before it
    for first, last in COMPOSING_SINCE_16:
        for c in range(first, last + 1):
            flags[c] = flags[c] & 7 | INERT
    flags[0x11930] = flags[0x11930] & 7 | INERT  # composes since Unicode 13
    for c in range(0x110000):
        if flags[c] & INERT:
            flags[c] &= ~MAY_CHANGE
    return flags


def rows(values, per_line=24):
    for i in range(0, len(values), per_line):
        yield "    " + ", ".join(str(v) for v in values[i : i + per_line]) + ","


def main():
    flags = table()
    blocks, index = [], []
    for i in range(0, 0x110000, BLOCK):
        block = bytes(flags[i : i + BLOCK])
        if block not in blocks:
            blocks.append(block)
        index.append(blocks.index(block))
    assert len(blocks) <= 256
    print("// Made by generate_unicode_tables.py; do not edit. utf8proc's Unicode version there:", end=" ")
    print(lib.utf8proc_unicode_version().decode() + ".")
    print(f"constexpr uint8_t kBlockIndex[{len(index)}] = {{")
    print("\n".join(rows(index)))
    print("};")
    print(f"constexpr uint8_t kBlocks[{len(blocks)}][{BLOCK}] = {{")
    for block in blocks:
        print("    {")
        print("\n".join("    " + r for r in rows(block, 32)))
        print("    },")
    print("};")


if __name__ == "__main__":
    sys.exit(main())
