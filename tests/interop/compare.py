#!/usr/bin/env python3
"""Files that `quern quantize` writes, read by llama.cpp: do both programs say the same?

For a tiny checkpoint of each architecture (tests/golden/model) in f32 and bf16: writes it as GGUF, loads that file with
llama-cpp-python, and compares greedy continuations of 32 tokens for 10 prompts with those of `quern serve` on the
source. A continuation that differs is explained by the margin between the two tokens at the first difference: random
weights decide closely, and the two programs add in different orders. At least 8 of 10 must be equal.

The model in the box is written in every quantised type and read by both programs: of ten pieces of code the most likely
next token must be the same for at least 8 (both round activations, each in its own way).

Run by scripts/interop.sh, which finds or makes the Python that has llama-cpp-python. Exit code 1 when a case fails.
"""
import argparse
import contextlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import urllib.request

import llama_cpp
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
CASES = ["qwen2_untied", "qwen3_moe_untied", "qwen3_next_untied"]
TYPES = ["f32", "bf16"]
QUANTISED = ["q8_0", "q6_k", "q5_k_m", "q5_k_s", "q4_k_m", "q4_k_s", "iq4_nl", "q4_0", "q3_k_l", "q3_k_m", "q3_k_s", "q2_k"]
N_PROMPTS, N_TOKENS, ENOUGH = 10, 32, 8
F32_CACHE = 0  # ggml's number: keys and values in f32 on both sides, where the source is


def tokenizer_for(vocab):
    """A tokenizer.json with exactly vocab tokens: every byte, then pairs of letters. The prompts are ids anyway."""
    spec = json.loads((ROOT / "models/demo/tokenizer.json").read_text())
    tokens = list(spec["model"]["vocab"].items())
    bytes_first = [text for text, _ in sorted(tokens, key=lambda t: t[1]) if len(text) == 1][:256]
    assert len(bytes_first) == 256
    letters = "etaoinsrhl"
    pairs = [(a, b) for a in letters for b in letters][: vocab - 256]
    names = bytes_first + [a + b for a, b in pairs]
    assert len(names) == vocab, f"no tokenizer of {vocab} tokens"
    spec["model"]["vocab"] = {text: i for i, text in enumerate(names)}
    spec["model"]["merges"] = [f"{a} {b}" for a, b in pairs]
    spec["added_tokens"] = []
    return json.dumps(spec)


def prepare(case, kind, folder):
    """A copy of the golden checkpoint with a tokenizer; its end-of-text ids are no ids of its vocabulary."""
    shutil.copytree(ROOT / "tests/golden/model" / case / kind, folder)
    config = json.loads((folder / "config.json").read_text())
    config["eos_token_id"] = config["vocab_size"] - 1
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(tokenizer_for(config["vocab_size"]))
    return config


@contextlib.contextmanager
def served(quern, model):
    """The base URL of `quern serve` on the model."""
    server = subprocess.Popen([quern, "serve", "--model", model, "--listen", "127.0.0.1:0", "--name", "tiny"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        line = server.stdout.readline()
        assert line.startswith("listening on "), f"quern serve did not start: {line!r}"
        yield line.split()[-1]
    finally:
        server.terminate()
        server.wait(60)


def quern_continues(url, prompt, n_tokens=N_TOKENS):
    """(ids, difference of the two largest log-probabilities) per step."""
    body = {"model": "tiny", "prompt": prompt, "max_tokens": n_tokens, "temperature": 0, "logprobs": 2,
            "return_token_ids": True, "ignore_eos": True}
    request = urllib.request.Request(url + "/v1/completions", json.dumps(body).encode(),
                                     {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        choice = json.load(answer)["choices"][0]
    margins = []
    for step in choice["logprobs"]["top_logprobs"]:
        best = sorted(step.values(), reverse=True)
        margins.append(best[0] - best[1] if len(best) > 1 else float("inf"))
    return choice["token_ids"], margins


def llama_continues(llm, prompt, n_tokens=N_TOKENS):
    """(ids, margin between the two largest logits) per step."""
    llm.reset()
    ids, margins, step = [], [], list(prompt)
    for _ in range(n_tokens):
        llm.eval(step)
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(llm.ctx, -1), shape=(llm.n_vocab(),))
        second, first = np.sort(logits)[-2:]
        ids.append(int(np.argmax(logits)))
        margins.append(float(first - second))
        step = [ids[-1]]
    return ids, margins


def compare(quern, case, kind, folder):
    """Number of equal continuations out of N_PROMPTS; prints the others."""
    source, written = folder / f"{case}-{kind}", folder / f"{case}-{kind}.gguf"
    config = prepare(case, kind, source)
    subprocess.run([quern, "quantize", source, written, "--type", kind], check=True, stdout=subprocess.DEVNULL)
    cache = {"type_k": F32_CACHE, "type_v": F32_CACHE} if kind == "f32" else {}
    llm = llama_cpp.Llama(str(written), n_ctx=256, n_threads=1, verbose=False, seed=0, **cache)
    assert llm.n_vocab() == config["vocab_size"]
    facts = json.loads((ROOT / "tests/golden/model" / case / "expected.json").read_text())
    prompts = [greedy["prompt"] for greedy in facts["greedy"]][:N_PROMPTS]
    equal = 0
    with served(quern, source) as url:
        for prompt in prompts:
            ours, our_margins = quern_continues(url, prompt)
            theirs, their_margins = llama_continues(llm, prompt)
            assert len(ours) == len(theirs) == N_TOKENS
            at = next((i for i in range(N_TOKENS) if ours[i] != theirs[i]), None)
            if at is None:
                equal += 1
                continue
            print(f"  {case} {kind}: a prompt of {len(prompt)} tokens differs from step {at} on, where the best two are "
                  f"{our_margins[at]:.5f} apart in Quern and {their_margins[at]:.5f} in llama.cpp")
    llm.close()
    print(f"{case} {kind}: {equal} of {len(prompts)} continuations of {N_TOKENS} tokens are equal", flush=True)
    return equal


def compare_quantised(quern, kind, folder):
    """Number of equal next tokens out of N_PROMPTS for the model in the box in a quantised type."""
    written = folder / f"demo-{kind}.gguf"
    subprocess.run([quern, "quantize", ROOT / "models/demo", written, "--type", kind], check=True,
                   stdout=subprocess.DEVNULL)
    llm = llama_cpp.Llama(str(written), n_ctx=256, n_threads=1, verbose=False, seed=0)
    text = (ROOT / "tests/interop/compare.py").read_text()
    equal = 0
    with served(quern, written) as url:
        for i in range(N_PROMPTS):
            piece = text[500 * i:500 * i + 300].encode()
            prompt = llm.tokenize(piece, add_bos=False, special=False)
            ours, _ = quern_continues(url, prompt, 1)
            theirs, _ = llama_continues(llm, prompt, 1)
            equal += ours == theirs
    llm.close()
    print(f"models/demo {kind}: loads; {equal} of {N_PROMPTS} next tokens are equal", flush=True)
    return equal


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quern", default=str(ROOT / "build/quern"))
    args = parser.parse_args()
    print(f"llama-cpp-python {llama_cpp.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        results = {(case, kind): compare(args.quern, case, kind, pathlib.Path(folder)) for case in CASES
                   for kind in TYPES}
        results |= {("models/demo", kind): compare_quantised(args.quern, kind, pathlib.Path(folder))
                    for kind in QUANTISED}
    failed = [" ".join(key) for key, equal in results.items() if equal < ENOUGH]
    if failed:
        print(f"fewer than {ENOUGH} equal: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
