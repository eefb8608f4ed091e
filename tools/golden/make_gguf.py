"""Writes tests/golden/gguf_model: tiny models in GGUF and what transformers computes with the weights they hold.

    python tools/golden/make_gguf.py [--out tests/golden/gguf_model]     (needs gguf==0.19.0 besides torch and transformers)

One file per mixture of types. The expected logits are those of the weights that the gguf package reads back from the
file's blocks, computed in f32.
"""

import argparse
import json
import pathlib
import re
import tempfile

import gguf
import numpy as np
import torch
import transformers
from safetensors.torch import save_file

import make_goldens
import tiny_models
from tiny_models import TinyModel

Q = gguf.GGMLQuantizationType
N_PROMPT = 24

# file name, model, type of a matrix by its GGUF name (first match), default
WIDE = dict(vocab=64, head_dim=64, n_layers=1, context=256)
FILES = [
    ("qwen2_bf16", TinyModel("", "qwen2", d_model=48, n_heads=6, n_kv_heads=2, head_dim=8, d_ff=80, vocab=96,
                             n_layers=2, tied=True, seed=51), [], Q.BF16),
    ("qwen3_f16", TinyModel("", "qwen3", d_model=40, n_heads=4, n_kv_heads=2, head_dim=16, d_ff=72, vocab=96,
                            n_layers=2, tied=False, seed=52), [], Q.F16),
    ("qwen3moe_f32", TinyModel("", "qwen3_moe", d_model=32, n_heads=4, n_kv_heads=2, head_dim=12, d_ff=0, vocab=96,
                               n_layers=2, tied=False, n_experts=8, n_experts_used=2, d_ff_expert=20, seed=53), [],
     Q.F32),
    ("qwen3moe_q8_0", TinyModel("", "qwen3_moe", d_model=64, n_heads=4, n_kv_heads=2, head_dim=16, d_ff=0, vocab=96,
                                n_layers=2, tied=False, n_experts=8, n_experts_used=2, d_ff_expert=32, seed=54), [],
     Q.Q8_0),
    ("qwen3moe_q4_0", TinyModel("", "qwen3_moe", d_model=64, n_heads=4, n_kv_heads=2, head_dim=16, d_ff=0, vocab=96,
                                n_layers=2, tied=True, n_experts=8, n_experts_used=2, d_ff_expert=32, seed=55),
     [("token_embd", Q.Q8_0)], Q.Q4_0),
    ("qwen2_q4_k", TinyModel("", "qwen2", d_model=256, n_heads=4, n_kv_heads=1, d_ff=256, tied=False, seed=56, **WIDE),
     [("output.weight", Q.Q6_K), ("attn_v", Q.Q6_K), ("ffn_down", Q.Q6_K)], Q.Q4_K),
    ("qwen3moe_q5_k", TinyModel("", "qwen3_moe", d_model=256, n_heads=2, n_kv_heads=1, d_ff=0, tied=True, n_experts=4,
                                n_experts_used=2, d_ff_expert=32, seed=57, **WIDE),
     [("attn_output", Q.Q8_0), ("ffn_down_exps", Q.Q8_0)], Q.Q5_K),
    ("qwen3_q6_k", TinyModel("", "qwen3", d_model=256, n_heads=2, n_kv_heads=1, d_ff=64, tied=True, seed=58, **WIDE),
     [("attn_output", Q.Q4_0), ("ffn_down", Q.Q8_0)], Q.Q6_K),
]

NAMES = [
    (r"model\.embed_tokens\.weight", "token_embd.weight"),
    (r"model\.norm\.weight", "output_norm.weight"),
    (r"lm_head\.weight", "output.weight"),
    (r"model\.layers\.(\d+)\.input_layernorm\.weight", r"blk.\1.attn_norm.weight"),
    (r"model\.layers\.(\d+)\.post_attention_layernorm\.weight", r"blk.\1.ffn_norm.weight"),
    (r"model\.layers\.(\d+)\.self_attn\.([qkv])_proj\.(weight|bias)", r"blk.\1.attn_\2.\3"),
    (r"model\.layers\.(\d+)\.self_attn\.o_proj\.weight", r"blk.\1.attn_output.weight"),
    (r"model\.layers\.(\d+)\.self_attn\.([qk])_norm\.weight", r"blk.\1.attn_\2_norm.weight"),
    (r"model\.layers\.(\d+)\.mlp\.gate\.weight", r"blk.\1.ffn_gate_inp.weight"),
    (r"model\.layers\.(\d+)\.mlp\.(gate|up|down)_proj\.weight", r"blk.\1.ffn_\2.weight"),
    (r"model\.layers\.(\d+)\.mlp\.experts\.(gate|up|down)\.weight", r"blk.\1.ffn_\2_exps.weight"),
]


def f16_bytes(values):
    return values.astype(np.float16).reshape(-1, 1).view(np.uint8)


def pack_scales(sc, m):
    """Eight pairs of six-bit numbers in twelve bytes, as Q4_K and Q5_K have them. sc, m: [n, 8]."""
    sc, m = sc.astype(np.uint8), m.astype(np.uint8)
    low = sc[:, :4] | ((sc[:, 4:] >> 4) << 6)
    mid = m[:, :4] | ((m[:, 4:] >> 4) << 6)
    high = (sc[:, 4:] & 15) | ((m[:, 4:] & 15) << 4)
    return np.concatenate([low, mid, high], 1)


def quantize_with_minimum(x, levels):
    """x: [n, 256] -> d, dmin [n], sc, m [n, 8], q [n, 8, 32] for x ~ d * sc * q - dmin * m."""
    x = x.reshape(-1, 8, 32)
    low = np.minimum(x.min(-1), 0)
    scale = (x.max(-1) - low) / levels
    d = (scale.max(-1) / 63).astype(np.float16).astype(np.float32)
    dmin = ((-low).max(-1) / 63).astype(np.float16).astype(np.float32)
    sc = np.clip(np.round(scale / d[:, None]), 1, 63)
    m = np.clip(np.round(-low / np.maximum(dmin, 1e-30)[:, None]), 0, 63)
    q = np.round((x + (dmin[:, None] * m)[..., None]) / (d[:, None] * sc)[..., None])
    return d, dmin, sc, m, np.clip(q, 0, levels).astype(np.uint8)


def quantize_q4_k(x):
    d, dmin, sc, m, q = quantize_with_minimum(x, 15)
    qs = q[:, 0::2] | (q[:, 1::2] << 4)  # [n, 4, 32]
    return np.concatenate([f16_bytes(d), f16_bytes(dmin), pack_scales(sc, m), qs.reshape(len(q), 128)], 1)


def quantize_q5_k(x):
    d, dmin, sc, m, q = quantize_with_minimum(x, 31)
    low, high = q & 15, q >> 4
    qs = low[:, 0::2] | (low[:, 1::2] << 4)
    qh = sum(high[:, i] << i for i in range(8)).astype(np.uint8)
    return np.concatenate([f16_bytes(d), f16_bytes(dmin), pack_scales(sc, m), qh, qs.reshape(len(q), 128)], 1)


def quantize_q6_k(x):
    x = x.reshape(-1, 16, 16)
    scale = np.abs(x).max(-1) / 31
    d = (scale.max(-1) / 127).astype(np.float16).astype(np.float32)
    sc = np.clip(np.round(scale / d[:, None]), 1, 127)
    q = np.clip(np.round(x / (d[:, None] * sc)[..., None]), -32, 31).astype(np.int8) + 32
    q = q.astype(np.uint8).reshape(-1, 2, 4, 32)  # halves of 128, quarters of 32
    ql = np.concatenate([(q[:, :, 0] & 15) | ((q[:, :, 2] & 15) << 4), (q[:, :, 1] & 15) | ((q[:, :, 3] & 15) << 4)], -1)
    qh = sum((q[:, :, i] >> 4) << (2 * i) for i in range(4)).astype(np.uint8)
    n = len(x)
    return np.concatenate([ql.reshape(n, 128), qh.reshape(n, 64), sc.astype(np.int8).view(np.uint8), f16_bytes(d)], 1)


K_QUANTS = {Q.Q4_K: (quantize_q4_k, 0.1), Q.Q5_K: (quantize_q5_k, 0.05), Q.Q6_K: (quantize_q6_k, 0.03)}


def quantize(x, kind):
    """x: f32 [..., cols] -> (array as GGUFWriter takes it, the f32 values that its bytes stand for)."""
    if kind == Q.F32:
        return x, x
    if kind == Q.F16:
        half = x.astype(np.float16)
        return half, half.astype(np.float32)
    if kind not in K_QUANTS:
        packed = gguf.quants.quantize(x, kind)
        return packed, gguf.quants.dequantize(packed, kind)
    pack, worst = K_QUANTS[kind]
    packed = pack(x.reshape(-1, 256)).reshape(*x.shape[:-1], -1)
    back = gguf.quants.dequantize(packed, kind)
    assert np.abs(back - x).max() < worst * np.abs(x).max(), f"{kind.name}: the package reads other values back"
    return packed, back


def gguf_tensors(model, weights):
    """GGUF name -> (published names in stacking order, f32 array)."""
    stacked, out = {}, {}
    for name, value in weights.items():
        match = re.fullmatch(r"(.*\.mlp\.experts\.)\d+\.(gate|up|down)_proj\.weight", name)
        key = f"{match[1]}{match[2]}.weight" if match else name
        stacked.setdefault(key, []).append(name)
    for key, names in stacked.items():
        for pattern, to in NAMES:
            if re.fullmatch(pattern, key):
                arrays = [weights[n].numpy() for n in names]
                out[re.sub(pattern, to, key)] = (names, np.stack(arrays) if "experts" in key else arrays[0])
                break
        else:
            raise ValueError(key)
    return out


def type_of(name, array, rules, default):
    if array.ndim == 1 or "ffn_gate_inp" in name:
        return Q.F32
    return next((kind for prefix, kind in rules if prefix in name), default)


def add_metadata(writer, model):
    writer.add_context_length(model.context)
    writer.add_embedding_length(model.d_model)
    writer.add_block_count(model.n_layers)
    writer.add_feed_forward_length(model.d_ff)
    writer.add_head_count(model.n_heads)
    writer.add_head_count_kv(model.n_kv_heads)
    writer.add_layer_norm_rms_eps(model.norm_eps)
    writer.add_rope_freq_base(model.rope_theta)
    if model.kind != "qwen2":
        writer.add_key_length(model.head_dim)
        writer.add_value_length(model.head_dim)
    if model.n_experts:
        writer.add_expert_count(model.n_experts)
        writer.add_expert_used_count(model.n_experts_used)
        writer.add_expert_feed_forward_length(model.d_ff_expert)


def write_file(path, model, rules, default):
    """Writes the file and returns the weights it holds under their published names."""
    writer = gguf.GGUFWriter(path, model.kind.replace("_", ""))
    add_metadata(writer, model)
    held = {}
    for name, (published, array) in gguf_tensors(model, tiny_models.init_weights(model)).items():
        kind = type_of(name, array, rules, default)
        packed, values = quantize(array, kind)
        writer.add_tensor(name, np.ascontiguousarray(packed), raw_dtype=kind)
        parts = values if array.ndim == 3 else [values]
        held.update({n: torch.from_numpy(np.ascontiguousarray(v)) for n, v in zip(published, parts, strict=True)})
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return held


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("--out", type=pathlib.Path, default=root / "tests/golden/gguf_model")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    facts, numbers = {"gguf": "0.19.0", "transformers": transformers.__version__, "files": {}}, {}
    for name, model, rules, default in FILES:
        path = out / f"{name}.gguf"
        weights = write_file(path, model, rules, default)
        with tempfile.TemporaryDirectory() as folder:
            tiny_models.save_checkpoint(model, weights, "f32", folder)
            reference = make_goldens.load(folder, torch.float32)
            prompt = [int(t) for t in np.random.default_rng(model.seed).integers(0, model.vocab, N_PROMPT)]
            numbers[name] = make_goldens.run_prompt(reference, prompt)[1].contiguous()
        facts["files"][name] = {"prompt": prompt}
        print(f"{name}: {path.stat().st_size} bytes, logits std {numbers[name].std():.3f}", flush=True)
    save_file(numbers, out / "expected.safetensors")
    (out / "expected.json").write_text(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
