"""Shards of Python code: plain chunks and fill-in-the-middle (prefix, suffix, middle) from the standard library."""

import argparse
import random

from tokenizers import Tokenizer

import stdlib
from shards import ShardWriter

CONTEXT_LINES = 40


class Encoder:
    def __init__(self, path):
        self.tok = Tokenizer.from_file(path)
        get = self.tok.token_to_id
        self.end = get("<|endoftext|>")
        self.prefix, self.middle, self.suffix = (get(f"<|fim_{w}|>") for w in ("prefix", "middle", "suffix"))
        self.repo, self.file_sep = get("<|repo_name|>"), get("<|file_sep|>")

    def text(self, s):
        """Ordinary text only: a literal control token in a source file must not become one."""
        return self.tok.encode(s.replace("<|", "< |")).ids

    def fim(self, prefix, suffix, middle):
        p, s, m = self.text(prefix), self.text(suffix), self.text(middle)
        ids = [self.prefix, *p, self.suffix, *s, self.middle, *m, self.end]
        weights = [0.0] + [0.25] * len(p) + [0.0] + [0.25] * len(s) + [0.0] + [1.0] * (len(m) + 1)
        return ids, weights


def windows(text, rng):
    """Cuts a file into pieces of whole lines, 20 to 80 lines each."""
    lines = text.splitlines(keepends=True)
    at = 0
    while at < len(lines):
        n = rng.randint(20, 80)
        yield "".join(lines[at:at + n])
        at += n


def single_line_split(piece, rng):
    """(prefix, suffix, middle) where the middle is the rest of one line, from a cut inside or at its start."""
    lines = piece.splitlines(keepends=True)
    candidates = [i for i, l in enumerate(lines) if len(l.strip()) >= 4 and not l.strip().startswith("#")]
    if not candidates:
        return None
    i = rng.choice(candidates)
    line = lines[i].rstrip("\n")
    indent = len(line) - len(line.lstrip())
    cut = indent if rng.random() < 0.5 else rng.randint(indent, len(line) - 1)
    before, after = "".join(lines[:i]), lines[i][len(line):] + "".join(lines[i + 1:])
    return before + line[:cut], after, line[cut:]


def random_split(piece, rng):
    """A span of up to a third of the piece; half of the time on line borders."""
    if rng.random() < 0.5:
        lines = piece.splitlines(keepends=True)
        if len(lines) < 4:
            return None
        a = rng.randint(0, len(lines) - 2)
        b = min(len(lines), a + rng.randint(1, max(1, len(lines) // 4)))
        return "".join(lines[:a]), "".join(lines[b:]), "".join(lines[a:b])
    a = rng.randint(0, max(0, len(piece) - 20))
    b = min(len(piece), a + rng.randint(5, max(6, len(piece) // 3)))
    return piece[:a], piece[b:], piece[a:b]


def add_plain(files, enc, writer, length):
    """Whole files one after another, cut into rows of `length` tokens."""
    stream = []
    for path, text in files:
        head = [enc.file_sep, *enc.text(path + "\n")]
        stream += head + enc.text(text) + [enc.end]
        while len(stream) >= length:
            writer.add(stream[:length], [1.0] * length)
            stream = stream[length:]


def add_fim(files, enc, writer, rng, max_tokens):
    for _, text in files:
        for piece in windows(text, rng):
            split = single_line_split(piece, rng) if rng.random() < 0.6 else random_split(piece, rng)
            if split is None:
                continue
            if rng.random() < 0.15:
                split = (split[0], "", split[2] + split[1])
            ids, weights = enc.fim(*split)
            if len(ids) <= max_tokens:
                writer.add(ids, weights)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stdlib", default=stdlib.default_root())
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=["plain", "fim"], required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    enc = Encoder(args.tokenizer)
    files = stdlib.read_sources(args.stdlib, held_out=False)
    rng.shuffle(files)
    writer = ShardWriter()
    if args.kind == "plain":
        add_plain(files, enc, writer, 1024)
    else:
        add_fim(files, enc, writer, rng, 1024)
    writer.save(args.out)
    print(f"{args.out}: {len(writer.lengths)} examples, {writer.n_tokens() / 1e6:.2f} M tokens")


if __name__ == "__main__":
    main()
