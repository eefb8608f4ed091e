"""Writes a training checkpoint as an ordinary Hugging Face directory and checks it against transformers."""

import argparse
import json
import os
import shutil

import torch
from safetensors.torch import save_file

from model import ModelConfig, Qwen3Moe

CONTEXT = 4096


def config_json(c, ids):
    return {
        "architectures": ["Qwen3MoeForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "decoder_sparse_step": 1, "eos_token_id": ids["<|im_end|>"], "pad_token_id": ids["<|endoftext|>"],
        "head_dim": c.head_dim, "hidden_act": "silu", "hidden_size": c.d_model, "initializer_range": 0.02,
        "intermediate_size": c.d_expert * c.n_experts_used, "max_position_embeddings": CONTEXT,
        "max_window_layers": c.n_layers, "mlp_only_layers": [], "model_type": "qwen3_moe",
        "moe_intermediate_size": c.d_expert, "norm_topk_prob": True, "num_attention_heads": c.n_heads,
        "num_experts": c.n_experts, "num_experts_per_tok": c.n_experts_used, "num_hidden_layers": c.n_layers,
        "num_key_value_heads": c.n_kv_heads, "output_router_logits": False, "rms_norm_eps": c.norm_eps,
        "rope_scaling": None, "rope_theta": c.rope_theta, "router_aux_loss_coef": 0.01, "sliding_window": None,
        "tie_word_embeddings": True, "torch_dtype": "bfloat16", "use_cache": True, "use_sliding_window": False,
        "vocab_size": c.vocab_size}


def generation_json(ids):
    # No repetition penalty: code repeats itself, and a model this small cannot afford to avoid that.
    return {"do_sample": True, "eos_token_id": [ids["<|im_end|>"], ids["<|endoftext|>"]],
            "pad_token_id": ids["<|endoftext|>"], "temperature": 0.3, "top_k": 20, "top_p": 0.8}


def tensors(model):
    """Hugging Face name -> bf16 tensor."""
    out = {"model.embed_tokens.weight": model.embed, "model.norm.weight": model.final_norm}
    for i, block in enumerate(model.blocks):
        at = f"model.layers.{i}."
        out[at + "input_layernorm.weight"] = block.attn_norm
        out[at + "post_attention_layernorm.weight"] = block.mlp_norm
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            out[f"{at}self_attn.{name}.weight"] = getattr(block.attn, name).weight
        out[at + "self_attn.q_norm.weight"] = block.attn.q_norm
        out[at + "self_attn.k_norm.weight"] = block.attn.k_norm
        out[at + "mlp.gate.weight"] = block.experts.router
        for e in range(model.c.n_experts):
            for ours, theirs in (("gate", "gate_proj"), ("up", "up_proj"), ("down", "down_proj")):
                out[f"{at}mlp.experts.{e}.{theirs}.weight"] = getattr(block.experts, ours)[e]
    return {k: v.detach().to(torch.bfloat16).contiguous().clone() for k, v in out.items()}


def write_json(path, data):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(data, f, indent=2)
        f.write("\n")


def verify(model, out):
    """Largest difference of f32 logits between our module (with bf16-rounded weights) and transformers."""
    from transformers import Qwen3MoeForCausalLM
    reference = Qwen3MoeForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.to(torch.bfloat16).float())
        ids = torch.randint(0, model.c.vocab_size, (2, 96), generator=torch.Generator().manual_seed(1))
        ours, theirs = model.logits(ids), reference(ids).logits
    difference = (ours - theirs).abs().max().item()
    print(f"logits: largest difference to transformers {difference:.2e}, spread {theirs.std():.2f}")
    if difference > 1e-3:
        raise SystemExit("the exported weights do not compute what was trained")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--tokenizer", required=True, help="folder written by train_tokenizer.py")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = torch.load(args.checkpoint, weights_only=True)
    config = ModelConfig()
    model = Qwen3Moe(config)
    model.load_state_dict(data["model"])
    with open(os.path.join(args.tokenizer, "tokenizer.json"), encoding="utf-8") as f:
        ids = {t["content"]: t["id"] for t in json.load(f)["added_tokens"]}
    os.makedirs(args.out, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(os.path.join(args.tokenizer, name), os.path.join(args.out, name))
    write_json(os.path.join(args.out, "config.json"), config_json(config, ids))
    write_json(os.path.join(args.out, "generation_config.json"), generation_json(ids))
    path = os.path.join(args.out, "model.safetensors")
    save_file(tensors(model), path + ".part", metadata={"format": "pt"})
    os.replace(path + ".part", path)
    state = data["state"]
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {os.path.getsize(path) / 1e6:.1f} MB, "
          f"{state['tokens'] / 1e6:.2f} M tokens, {state['steps']} steps, {state['seconds'] / 60:.0f} minutes")
    verify(model, args.out)


if __name__ == "__main__":
    main()
