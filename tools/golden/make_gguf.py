"""Writes tests/golden/gguf_model: tiny models in GGUF and what transformers computes with the weights they hold.

    python tools/golden/make_gguf.py [--out tests/golden/gguf_model]     (needs gguf==0.19.0 besides torch and transformers)

One file per mixture of types. The expected logits are those of the weights that the gguf package reads back from the
file's blocks, computed in f32.
"""

import argparse
import functools
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
    ("qwen3next_q8_0", TinyModel("", "qwen3_next", d_model=64, n_heads=4, n_kv_heads=2, head_dim=16, d_ff=48, vocab=96,
                                 n_layers=2, tied=True, n_experts=4, n_experts_used=2, d_ff_expert=32, d_ff_shared=32,
                                 partial_rotary_factor=0.25, full_attention_interval=2, n_linear_key_heads=2,
                                 n_linear_value_heads=4, linear_key_dim=16, linear_value_dim=16, seed=59), [], Q.Q8_0),
    ("qwen3next_q4_k", TinyModel("", "qwen3_next", d_model=256, n_heads=4, n_kv_heads=1, d_ff=48, tied=False, n_experts=4,
                                 n_experts_used=2, d_ff_expert=32, d_ff_shared=32, partial_rotary_factor=0.25,
                                 full_attention_interval=2, n_linear_key_heads=2, n_linear_value_heads=4,
                                 linear_key_dim=32, linear_value_dim=64, seed=60, **{**WIDE, "n_layers": 2}),
     [("output.weight", Q.Q6_K), ("attn_v", Q.Q6_K), ("attn_qkv", Q.Q5_K), ("ssm_ba", Q.Q8_0), ("ffn_down", Q.Q8_0)],
     Q.Q4_K),
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
    (r"model\.layers\.(\d+)\.mlp\.shared_expert_gate\.weight", r"blk.\1.ffn_gate_inp_shexp.weight"),
    (r"model\.layers\.(\d+)\.mlp\.shared_expert\.(gate|up|down)_proj\.weight", r"blk.\1.ffn_\2_shexp.weight"),
    (r"model\.layers\.(\d+)\.linear_attn\.in_proj_ba\.weight", r"blk.\1.ssm_ba.weight"),
    (r"model\.layers\.(\d+)\.linear_attn\.conv1d\.weight", r"blk.\1.ssm_conv1d.weight"),
    (r"model\.layers\.(\d+)\.linear_attn\.A_log", r"blk.\1.ssm_a"),
    (r"model\.layers\.(\d+)\.linear_attn\.dt_bias", r"blk.\1.ssm_dt.bias"),
    (r"model\.layers\.(\d+)\.linear_attn\.norm\.weight", r"blk.\1.ssm_norm.weight"),
    (r"model\.layers\.(\d+)\.linear_attn\.out_proj\.weight", r"blk.\1.ssm_out.weight"),
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


def as_converted(name, value):
    """What GGUF holds of a qwen3_next tensor."""
    if name.endswith(".A_log"):
        return -np.exp(value)
    if name.endswith(".conv1d.weight"):
        return value[:, 0]
    if name.endswith(".shared_expert_gate.weight"):
        return value[0]
    return value + 1 if name.endswith("norm.weight") and ".linear_attn." not in name else value


def as_published(name, value):
    """The other way round."""
    if name.endswith(".A_log"):
        return np.log(-value)
    if name.endswith(".conv1d.weight"):
        return value[:, None]
    if name.endswith(".shared_expert_gate.weight"):
        return value[None]
    return value - 1 if name.endswith("norm.weight") and ".linear_attn." not in name else value


def qkvz_rows(model):
    """Rows of in_proj_qkvz in GGUF's order: all queries, keys and values (attn_qkv) | all gates (attn_gate)."""
    values = model.n_linear_value_heads // model.n_linear_key_heads * model.linear_value_dim
    sizes = [model.linear_key_dim, model.linear_key_dim, values, values]
    starts, group = np.cumsum([0, *sizes[:-1]]), sum(sizes)
    parts = [np.concatenate([h * group + at + np.arange(n) for h in range(model.n_linear_key_heads)])
             for at, n in zip(starts, sizes)]
    return np.concatenate(parts[:3]), parts[3]


def gguf_tensors(model, weights):
    """(GGUF name, f32 array, function from the values that the file holds to published names and arrays), one by one."""
    stacked = {}
    for name, value in weights.items():
        match = re.fullmatch(r"(.*\.mlp\.experts\.)\d+\.(gate|up|down)_proj\.weight", name)
        key = f"{match[1]}{match[2]}.weight" if match else name
        stacked.setdefault(key, []).append(name)
    for key, names in stacked.items():
        first = weights[names[0]].numpy()
        if match := re.fullmatch(r"model\.layers\.(\d+)\.linear_attn\.in_proj_qkvz\.weight", key):
            whole = np.empty_like(first)

            def put(values, rows, whole=whole, name=names[0]):
                whole[rows] = values
                return {name: whole}

            for part, rows in zip(("attn_qkv", "attn_gate"), qkvz_rows(model)):
                yield f"blk.{match[1]}.{part}.weight", first[rows], functools.partial(put, rows=rows)
            continue
        pattern, to = next((row for row in NAMES if re.fullmatch(row[0], key)), (None, None))
        if pattern is None:
            raise ValueError(key)
        name = re.sub(pattern, to, key)
        if len(names) > 1 or ".experts." in key:
            yield name, np.stack([weights[n].numpy() for n in names]), lambda v, names=names: dict(zip(names, v))
        elif model.kind == "qwen3_next":
            name = name.replace("ffn_norm", "post_attention_norm")
            yield name, as_converted(key, first), lambda v, key=key: {key: as_published(key, v)}
        else:
            yield name, first, lambda v, key=key: {key: v}


def type_of(name, array, rules, default):
    if array.ndim == 1 or "ffn_gate_inp" in name or "ssm_conv1d" in name:
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
    if model.kind == "qwen3_next":
        arch = writer.arch
        writer.add_rope_dimension_count(int(model.head_dim * model.partial_rotary_factor))
        writer.add_expert_shared_feed_forward_length(model.d_ff_shared)
        writer.add_uint32(f"{arch}.full_attention_interval", model.full_attention_interval)
        writer.add_ssm_conv_kernel(model.conv_width)
        writer.add_ssm_state_size(model.linear_key_dim)
        writer.add_ssm_group_count(model.n_linear_key_heads)
        writer.add_ssm_time_step_rank(model.n_linear_value_heads)
        writer.add_ssm_inner_size(model.n_linear_value_heads * model.linear_value_dim)
    if model.n_experts:
        writer.add_expert_count(model.n_experts)
        writer.add_expert_used_count(model.n_experts_used)
        writer.add_expert_feed_forward_length(model.d_ff_expert)


def write_file(path, model, rules, default):
    """Writes the file and returns the weights it holds under their published names."""
    writer = gguf.GGUFWriter(path, model.kind.replace("_", ""))
    add_metadata(writer, model)
    held = {}
    for name, array, put_back in gguf_tensors(model, tiny_models.init_weights(model)):
        kind = type_of(name, array, rules, default)
        packed, values = quantize(np.ascontiguousarray(array), kind)
        writer.add_tensor(name, np.ascontiguousarray(packed), raw_dtype=kind)
        held.update({n: torch.from_numpy(np.ascontiguousarray(v)) for n, v in put_back(values).items()})
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
