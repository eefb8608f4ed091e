"""Writes the seeds of tests/fuzz/corpus/tokenizer_json: small tokenizers of every accepted form, and some refused."""

import json
from pathlib import Path

OUT = Path(__file__).resolve().parent / "tokenizer_json"
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def alphabet():
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in own]
    return {**{b: chr(b) for b in own}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


def tokenizer(merges, added):
    vocab = {c: b for b, c in alphabet().items()}
    for left, right in merges:
        vocab.setdefault(left + right, len(vocab))
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "added_tokens": [{"id": 1000 + i, "content": t, **flags, "special": s} for i, (t, s) in enumerate(added)],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": [list(m) for m in merges]},
    }


def main():
    merges = [("a", "b"), ("ab", "ab"), ("b", "a"), ("Ġ", "a"), ("Ã", "©"), ("abab", "b")]
    added = [("<|im_end|>", True), ("<think>", False), ("<|", False)]
    plain, old, refused = tokenizer([], []), tokenizer(merges, added), tokenizer(merges, added)
    old["model"]["merges"] = [f"{left} {right}" for left, right in merges]
    refused["model"]["byte_fallback"] = True
    OUT.mkdir(exist_ok=True)
    files = {"bytes_only": plain, "merges": tokenizer(merges, added), "merges_as_text": old, "refused": refused}
    for name, value in files.items():
        (OUT / f"{name}.json").write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    (OUT / "nested.json").write_text("[" * 40 + "]" * 40)


if __name__ == "__main__":
    main()
