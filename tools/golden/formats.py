"""Writes tests/golden/formats: small files made by the usual writers of the two weight formats.

    python -m venv venv && venv/bin/pip install numpy safetensors==0.8.0 gguf==0.19.0
    venv/bin/python tools/golden/formats.py [--out tests/golden/formats]

expected.json lists for each file what the packages wrote: every tensor's type, shape (outermost first) and the FNV-1a
hash of its bytes, and for GGUF some metadata. types_values.safetensors holds what the gguf package computes from the
blocks of types.gguf. Seeded: running it again writes the same bytes.
"""

import argparse
import json
import pathlib
import shutil

import gguf
import numpy as np
from safetensors import TensorSpec, serialize_file
from safetensors.numpy import save_file

Q = gguf.GGMLQuantizationType
SEED = 20260801
BLOCK_TYPES = [Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0, Q.Q2_K, Q.Q3_K, Q.Q4_K, Q.Q5_K, Q.Q6_K, Q.IQ4_NL, Q.IQ4_XS, Q.MXFP4]
# Byte offsets of the fp16 scales inside one block; random bits there would mean NaN and infinity.
SCALES = {Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q8_0: [0], Q.Q2_K: [80, 82], Q.Q3_K: [108],
          Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208], Q.IQ4_NL: [0], Q.IQ4_XS: [0]}

D_MODEL, N_LAYERS, N_HEADS, N_KV_HEADS, HEAD_DIM, N_EXPERTS, D_FF_EXPERT, VOCAB = 16, 2, 2, 1, 8, 4, 8, 40


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def described(name, dtype, shape, data):
    return {"name": name, "dtype": dtype, "shape": [int(n) for n in shape], "fnv1a": fnv1a(bytes(data))}


def random_blocks(rng, kind, n_rows, n_cols):
    n_elements, n_bytes = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (n_rows * n_cols // n_elements, n_bytes), dtype=np.uint8)
    for at in SCALES.get(kind, []):
        scale = rng.uniform(0.001, 0.1, len(blocks)).astype(np.float16)
        blocks[:, at:at + 2] = scale.view(np.uint8).reshape(-1, 2)
    if kind == Q.MXFP4:
        blocks[:, 0] = rng.integers(0, 140, len(blocks), dtype=np.uint8)
        blocks[:3, 0] = [0, 1, 2]  # where the scale is denormal
    return blocks.reshape(n_rows, -1)


def write_safetensors_types(out, rng):
    """Every dtype of the format that we read; a scalar; an empty tensor; metadata."""
    sizes = {"float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1, "float64": 8, "int8": 1, "int16": 2, "int32": 4,
             "int64": 8, "uint8": 1, "bool": 1}
    ours = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "float8_e4m3fn": "f8_e4m3", "float64": "f64", "int8": "i8",
            "int16": "i16", "int32": "i32", "int64": "i64", "uint8": "u8", "bool": "bool"}
    tensors = {}
    for dtype, size in sizes.items():
        high = 2 if dtype == "bool" else 256
        tensors[f"t.{dtype}"] = (dtype, [3, 5], rng.integers(0, high, 15 * size, dtype=np.uint8).tobytes())
    tensors["scalar"] = ("float32", [], np.float32(1.5).tobytes())
    tensors["empty"] = ("float32", [0, 4], b"")
    buffers = {name: np.frombuffer(data or b"\0", dtype=np.uint8) for name, (_, _, data) in tensors.items()}
    specs = {name: TensorSpec(dtype=dtype, shape=shape, data_ptr=buffers[name].ctypes.data, data_len=len(data))
             for name, (dtype, shape, data) in tensors.items()}
    serialize_file(specs, str(out / "types.safetensors"), {"format": "pt", "note": "Größe"})
    return [described(name, ours[dtype], shape, data) for name, (dtype, shape, data) in tensors.items()]


def write_gguf_types(out, rng):
    """Two rows of 256 of every type, and what the package makes of the block types."""
    path = out / "types.gguf"
    writer = gguf.GGUFWriter(path, "qwen2")
    expected, values = [], {}
    for kind in BLOCK_TYPES:
        data = random_blocks(rng, kind, 2, 256)
        writer.add_tensor(f"t.{kind.name}", data, raw_dtype=kind)
        expected.append(described(f"t.{kind.name}", kind.name.lower(), [2, 256], data.tobytes()))
        values[f"t.{kind.name}"] = gguf.quants.dequantize(data, kind).astype(np.float32)
    for kind, data in [(Q.F32, rng.normal(size=(2, 3, 4)).astype(np.float32)), (Q.F16, rng.normal(size=(2, 3)).astype(np.float16)),
                       (Q.I8, np.arange(-3, 3, dtype=np.int8)), (Q.I16, np.arange(5, dtype=np.int16)),
                       (Q.I32, np.arange(5, dtype=np.int32)), (Q.I64, np.arange(5, dtype=np.int64)),
                       (Q.F64, np.arange(5, dtype=np.float64))]:
        writer.add_tensor(f"t.{kind.name}", data)
        expected.append(described(f"t.{kind.name}", kind.name.lower(), data.shape, data.tobytes()))
    bf16 = gguf.quants.quantize(rng.normal(size=(2, 6)).astype(np.float32), Q.BF16)
    writer.add_tensor("t.BF16", bf16, raw_dtype=Q.BF16)
    expected.append(described("t.BF16", "bf16", [2, 6], bf16.tobytes()))
    for name, add in [("u8", writer.add_uint8), ("i8", writer.add_int8), ("u16", writer.add_uint16), ("i16", writer.add_int16),
                      ("u32", writer.add_uint32), ("i32", writer.add_int32), ("u64", writer.add_uint64), ("i64", writer.add_int64)]:
        add(f"value.{name}", 100 if name[0] == "u" else -100)
    writer.add_float32("value.f32", 0.5)
    writer.add_float64("value.f64", 0.25)
    writer.add_bool("value.bool", True)
    writer.add_string("value.string", "Größe")
    writer.add_array("value.ints", [1, -2, 3])
    writer.add_array("value.strings", ["a", "", "ßß"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(values, str(out / "types_values.safetensors"))
    return expected


def moe_weights(rng):
    """A whole tiny qwen3_moe checkpoint under Hugging Face names."""
    normal = lambda *shape: rng.normal(size=shape).astype(np.float32)
    weights = {"model.embed_tokens.weight": normal(VOCAB, D_MODEL), "model.norm.weight": normal(D_MODEL),
               "lm_head.weight": normal(VOCAB, D_MODEL)}
    for layer in range(N_LAYERS):
        at = f"model.layers.{layer}."
        weights[at + "input_layernorm.weight"] = normal(D_MODEL)
        weights[at + "post_attention_layernorm.weight"] = normal(D_MODEL)
        weights[at + "self_attn.q_proj.weight"] = normal(N_HEADS * HEAD_DIM, D_MODEL)
        weights[at + "self_attn.k_proj.weight"] = normal(N_KV_HEADS * HEAD_DIM, D_MODEL)
        weights[at + "self_attn.v_proj.weight"] = normal(N_KV_HEADS * HEAD_DIM, D_MODEL)
        weights[at + "self_attn.o_proj.weight"] = normal(D_MODEL, N_HEADS * HEAD_DIM)
        weights[at + "self_attn.q_norm.weight"] = normal(HEAD_DIM)
        weights[at + "self_attn.k_norm.weight"] = normal(HEAD_DIM)
        weights[at + "mlp.gate.weight"] = normal(N_EXPERTS, D_MODEL)
        for e in range(N_EXPERTS):
            weights[f"{at}mlp.experts.{e}.gate_proj.weight"] = normal(D_FF_EXPERT, D_MODEL)
            weights[f"{at}mlp.experts.{e}.up_proj.weight"] = normal(D_FF_EXPERT, D_MODEL)
            weights[f"{at}mlp.experts.{e}.down_proj.weight"] = normal(D_MODEL, D_FF_EXPERT)
    return weights


def stack(weights, layer, name):
    return np.stack([weights[f"model.layers.{layer}.mlp.experts.{e}.{name}.weight"] for e in range(N_EXPERTS)])


def write_moe_folder(out, weights):
    """Layer 0 as the published checkpoints have it, layer 1 with stacked experts as newer tools save it; two shards."""
    folder = out / "moe"
    folder.mkdir()
    config = {"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": D_MODEL, "head_dim": HEAD_DIM,
              "num_hidden_layers": N_LAYERS, "num_attention_heads": N_HEADS, "num_key_value_heads": N_KV_HEADS,
              "num_experts": N_EXPERTS, "num_experts_per_tok": 2, "moe_intermediate_size": D_FF_EXPERT, "norm_topk_prob": True,
              "decoder_sparse_step": 1, "mlp_only_layers": [], "intermediate_size": 24, "vocab_size": VOCAB,
              "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "rope_theta": 1e7, "tie_word_embeddings": False,
              "eos_token_id": 3, "torch_dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "generation_config.json").write_text(json.dumps({"temperature": 0.7, "top_k": 20, "eos_token_id": [3, 5]}))
    first = {name: w for name, w in weights.items() if ".layers.1." not in name}
    second = {name: w for name, w in weights.items() if ".layers.1." in name and ".experts." not in name}
    second["model.layers.1.mlp.experts.gate_up_proj"] = np.concatenate(
        [stack(weights, 1, "gate_proj"), stack(weights, 1, "up_proj")], axis=1)
    second["model.layers.1.mlp.experts.down_proj"] = stack(weights, 1, "down_proj")
    index = {}
    for number, part in enumerate([first, second], 1):
        name = f"model-{number:05}-of-00002.safetensors"
        save_file(part, str(folder / name), {"format": "pt"})
        index.update({tensor: name for tensor in part})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": index}, indent=1))


def gguf_names(weights):
    """The same weights as a converter names them, experts stacked."""
    names = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
             "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
             "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate": "ffn_gate_inp"}
    out = {"token_embd.weight": weights["model.embed_tokens.weight"], "output_norm.weight": weights["model.norm.weight"],
           "output.weight": weights["lm_head.weight"]}
    for layer in range(N_LAYERS):
        for ours, theirs in names.items():
            out[f"blk.{layer}.{theirs}.weight"] = weights[f"model.layers.{layer}.{ours}.weight"]
        for name in ["gate", "up", "down"]:
            out[f"blk.{layer}.ffn_{name}_exps.weight"] = stack(weights, layer, f"{name}_proj")
    return out


def write_moe_gguf(out, weights, name, **split):
    writer = gguf.GGUFWriter(out / name, "qwen3moe", **split)
    writer.add_type("model")
    writer.add_name("tiny")
    writer.add_block_count(N_LAYERS)
    writer.add_context_length(256)
    writer.add_embedding_length(D_MODEL)
    writer.add_feed_forward_length(24)
    writer.add_head_count(N_HEADS)
    writer.add_head_count_kv(N_KV_HEADS)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e7)
    writer.add_expert_count(N_EXPERTS)
    writer.add_expert_used_count(2)
    writer.add_expert_feed_forward_length(D_FF_EXPERT)
    writer.add_float32("general.sampling.temp", 0.7)
    writer.add_int32("general.sampling.top_k", 20)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([f"t{i}" for i in range(VOCAB)])
    writer.add_token_types([1] * (VOCAB - 2) + [3, 4])
    writer.add_token_merges(["t 1", "t 2"])
    writer.add_eos_token_id(3)
    writer.add_eot_token_id(5)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{{ messages }}")
    for tensor, data in gguf_names(weights).items():
        writer.add_tensor(tensor, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("tests/golden/formats"))
    out = parser.parse_args().out
    for old in ["moe"]:
        shutil.rmtree(out / old, ignore_errors=True)
    for old in out.glob("*.gguf"):
        old.unlink()
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    expected = {"types.safetensors": write_safetensors_types(out, rng), "types.gguf": write_gguf_types(out, rng)}
    weights = moe_weights(rng)
    write_moe_folder(out, weights)
    write_moe_gguf(out, weights, "moe.gguf")
    write_moe_gguf(out, weights, "moe-split.gguf", split_max_tensors=10)
    expected["moe"] = [described(name, "f32", w.shape, w.tobytes()) for name, w in sorted(weights.items())]
    lines = [f'"{name}": [\n ' + ",\n ".join(json.dumps(row) for row in rows) + "]" for name, rows in expected.items()]
    (out / "expected.json").write_text("{" + ",\n".join(lines) + "}\n")


if __name__ == "__main__":
    main()
