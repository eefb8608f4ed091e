"""quern quantize, run as a person runs it."""
import json
import os
import pathlib
import struct
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUERN = str((ROOT / os.environ.get("QUERN_BIN", "build/quern")).resolve())
DEMO = ROOT / "models/demo"
MIB = 1 << 20


def run(*args, **kwargs):
    return subprocess.run([QUERN, *map(str, args)], capture_output=True, timeout=300, check=False, **kwargs)


def ok(*args):
    done = run(*args)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_a_quantised_model_talks(tmp_path):
    out = tmp_path / "demo.gguf"
    text = ok("quantize", DEMO, out, "--type", "q8_0")
    assert "bits per weight" in text and "q8_0" in text
    question = ["chat", "Tell me a joke.", "--temperature", 0, "--max-tokens", 24]
    assert ok(*question, "--model", out) == ok(*question), "tokenizer, template and weights came along"
    report = ok("inspect", out)
    assert "GGUF" in report and "q8_0" in report
    prompt = "def f(x):\n    return x<|im_end|>\n"
    assert ok("tokenize", "--ids", prompt, "--model", out) == ok("tokenize", "--ids", prompt)


def test_the_same_bytes_every_time_and_nothing_beside_them(tmp_path):
    for name, threads in [("a", 1), ("b", 3)]:
        ok("quantize", DEMO, tmp_path / name, "--type", "q4_k_m", "--threads", threads)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_generation_defaults_come_along(tmp_path):
    out = tmp_path / "demo.gguf"
    ok("quantize", DEMO, out, "--type", "bf16")
    text = out.read_bytes()[: 4 * MIB]
    for key in json.loads((DEMO / "generation_config.json").read_text()):
        name = {"temperature": "temp", "repetition_penalty": "penalty_repeat"}.get(key, key)
        if name in ("temp", "top_k", "top_p", "min_p", "penalty_repeat"):
            assert f"general.sampling.{name}".encode() in text


@pytest.mark.parametrize(
    "args, code, words",
    [
        ([], 2, "needs IN and OUT"),
        ([DEMO], 2, "needs IN and OUT"),
        ([DEMO, "x.gguf"], 2, "needs --type, one of f32, bf16"),
        ([DEMO, "x.gguf", "--type", "q9"], 2, 'not "q9"'),
        ([DEMO, "x.gguf", "--typ", "q8_0"], 2, "did you mean --type?"),
        (["/nonexistent", "x.gguf", "--type", "q8_0"], 1, "there is no model at /nonexistent"),
        ([DEMO, "/nonexistent/x.gguf", "--type", "q8_0"], 1, "/nonexistent/x.gguf"),
        ([DEMO, ".", "--type", "q8_0"], 1, "folder"),
        ([DEMO, "x.gguf", "--type", "q8_0", "--imatrix", __file__], 1, "test_quantize.py"),
    ],
)
def test_mistakes_get_one_sentence(args, code, words, tmp_path):
    done = run("quantize", *args, cwd=tmp_path)
    text = done.stderr.decode()
    assert done.returncode == code, text
    assert text.startswith("quern: ") and words in text and text.count("\n") == 1
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def write_zeros(folder, n_layers, d_model, d_ff, vocab):
    """A qwen2 checkpoint whose weights are a hole in the file."""
    folder.mkdir()
    config = dict(model_type="qwen2", architectures=["Qwen2ForCausalLM"], hidden_size=d_model, intermediate_size=d_ff,
                  num_hidden_layers=n_layers, num_attention_heads=8, num_key_value_heads=8, vocab_size=vocab,
                  max_position_embeddings=4096, rms_norm_eps=1e-6, rope_theta=1e6, tie_word_embeddings=True,
                  torch_dtype="bfloat16")
    (folder / "config.json").write_text(json.dumps(config))
    shapes = {"model.embed_tokens.weight": [vocab, d_model], "model.norm.weight": [d_model]}
    for i in range(n_layers):
        p = f"model.layers.{i}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            shapes[p + name + ".weight"] = [d_model]
        for name in "qkvo":
            shapes[f"{p}self_attn.{name}_proj.weight"] = [d_model, d_model]
            if name != "o":
                shapes[f"{p}self_attn.{name}_proj.bias"] = [d_model]
        shapes[p + "mlp.gate_proj.weight"] = shapes[p + "mlp.up_proj.weight"] = [d_ff, d_model]
        shapes[p + "mlp.down_proj.weight"] = [d_model, d_ff]
    header, at, largest = {}, 0, 0
    for name, shape in shapes.items():
        n = 2
        for dim in shape:
            n *= dim
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + n]}
        at, largest = at + n, max(largest, n)
    text = json.dumps(header).encode()
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(path, path.stat().st_size + at)
    return at, largest


def test_memory_stays_near_the_largest_tensor(tmp_path):
    total, largest = write_zeros(tmp_path / "zeros", n_layers=24, d_model=1024, d_ff=4096, vocab=32768)
    # A process begins with the peak of the one that started it: a small one in between keeps the tests' own out of it.
    measure = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
    measure += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    command = [QUERN, "quantize", tmp_path / "zeros", tmp_path / "out.gguf", "--type", "q4_0"]
    done = subprocess.run([sys.executable, "-c", measure, *map(str, command)], capture_output=True, text=True, check=True)
    peak = int(done.stdout) * 1024
    # The promise is 2 * largest + 1 GiB; that would not notice a file of this size staying in memory.
    allowed = 2 * largest + 192 * MIB
    assert peak < allowed < total, f"{peak / MIB:.0f} MiB used, {allowed / MIB:.0f} allowed, source {total / MIB:.0f}"
