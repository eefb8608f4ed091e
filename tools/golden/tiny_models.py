"""The tiny random checkpoints that the model goldens are made of, written as the published ones are.

Tensor names, config keys and file layout are those of the published Qwen checkpoints, not those of the transformers
version at hand, so that loading them with transformers is itself a check of the files.
"""

import dataclasses
import json
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file

KINDS = {
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "qwen3_next": "Qwen3NextForCausalLM",
}


@dataclasses.dataclass
class TinyModel:
    name: str
    kind: str  # model_type of config.json
    d_model: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    d_ff: int
    vocab: int
    tied: bool
    rope_theta: float = 1e6
    norm_eps: float = 1e-6
    n_experts: int = 0
    n_experts_used: int = 0
    d_ff_expert: int = 0
    norm_topk_prob: bool = True
    decoder_sparse_step: int = 1
    mlp_only_layers: tuple = ()
    rope_scaling: dict | None = None
    context: int = 4096
    n_shards: int = 1
    stacked_experts: bool = False
    f32: bool = True  # whether an f32 variant is stored beside the bf16 one
    n_logit_columns: int = 0  # > 0: only this many columns of the logits are stored
    row_spread: float = 0.0  # see init_weights
    seed: int = 1
    # qwen3_next only.
    partial_rotary_factor: float = 1.0
    full_attention_interval: int = 0
    layer_types: tuple = ()  # not empty: written in place of full_attention_interval
    rope_parameters: bool = False  # the spelling of files saved by transformers 5
    n_linear_key_heads: int = 0
    n_linear_value_heads: int = 0
    linear_key_dim: int = 0
    linear_value_dim: int = 0
    conv_width: int = 4
    d_ff_shared: int = 0
    mtp: bool = False  # with a multi-token prediction head
    prompt_lengths: tuple = ()  # of the prompts with hidden states; empty: the usual ones
    long_prompts: tuple = ()  # lengths of more of them
    greedy_lengths: tuple = ()
    fp8_scales: str = ""  # not empty: the checkpoint is FP8 in blocks, with scales of this dtype

    def is_linear(self, layer):
        if self.layer_types:
            return self.layer_types[layer] == "linear_attention"
        return self.full_attention_interval > 0 and (layer + 1) % self.full_attention_interval != 0

    def is_moe(self, layer):
        return (
            self.n_experts > 0
            and layer not in self.mlp_only_layers
            and (layer + 1) % self.decoder_sparse_step == 0
        )


# Around the reference's chunks of 64 tokens, and longer than some of them.
NEXT_PROMPTS = (1, 5, 63, 64, 65, 200)
NEXT_GREEDY = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15, 16, 17, 19, 23, 31, 33, 63, 64, 65, 129)

MODELS = [
    TinyModel("qwen2_untied", "qwen2", d_model=48, n_layers=3, n_heads=6, n_kv_heads=2, head_dim=8, d_ff=80,
              vocab=320, tied=False, norm_eps=1e-5, n_shards=2, row_spread=0.4, seed=11),
    TinyModel("qwen2_vocab", "qwen2", d_model=12, n_layers=2, n_heads=2, n_kv_heads=1, head_dim=6, d_ff=40,
              vocab=151936, tied=True, f32=False, n_logit_columns=512, row_spread=0.3, seed=12),
    TinyModel("qwen3_tied", "qwen3", d_model=40, n_layers=3, n_heads=4, n_kv_heads=2, head_dim=16, d_ff=72,
              vocab=300, tied=True, row_spread=0.4, seed=21),
    TinyModel("qwen3_yarn", "qwen3", d_model=32, n_layers=2, n_heads=4, n_kv_heads=1, head_dim=32, d_ff=56,
              vocab=288, tied=False, rope_theta=1e4, context=256, row_spread=0.4, seed=22,
              rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}),
    TinyModel("qwen3_moe_untied", "qwen3_moe", d_model=40, n_layers=3, n_heads=4, n_kv_heads=2, head_dim=16, d_ff=64,
              vocab=320, tied=False, rope_theta=1e7, n_experts=8, n_experts_used=2, d_ff_expert=24, n_shards=3,
              row_spread=0.4, seed=31),
    TinyModel("qwen3_moe_tied", "qwen3_moe", d_model=32, n_layers=4, n_heads=4, n_kv_heads=4, head_dim=12, d_ff=48,
              vocab=256, tied=True, rope_theta=1e7, n_experts=8, n_experts_used=2, d_ff_expert=20,
              norm_topk_prob=False, decoder_sparse_step=2, stacked_experts=True, row_spread=0.4, seed=32),
    TinyModel("qwen3_next_untied", "qwen3_next", d_model=32, n_layers=6, n_heads=4, n_kv_heads=2, head_dim=16,
              d_ff=48, vocab=256, tied=False, rope_theta=5e6, partial_rotary_factor=0.25, full_attention_interval=3,
              n_linear_key_heads=2, n_linear_value_heads=4, linear_key_dim=8, linear_value_dim=8, n_experts=8,
              n_experts_used=2, d_ff_expert=16, d_ff_shared=16, n_logit_columns=48, row_spread=0.8, seed=41,
              prompt_lengths=NEXT_PROMPTS, long_prompts=(500,), greedy_lengths=NEXT_GREEDY),
    TinyModel("qwen3_next_tied", "qwen3_next", d_model=32, n_layers=5, n_heads=4, n_kv_heads=1, head_dim=8,
              d_ff=40, vocab=224, tied=True, rope_theta=1e6, partial_rotary_factor=0.5, rope_parameters=True,
              layer_types=("linear_attention", "full_attention", "linear_attention", "linear_attention",
                           "full_attention"),
              n_linear_key_heads=2, n_linear_value_heads=2, linear_key_dim=12, linear_value_dim=20, conv_width=3,
              n_experts=6, n_experts_used=3, d_ff_expert=12, d_ff_shared=20, mlp_only_layers=(2,), n_shards=2,
              stacked_experts=True, n_logit_columns=48, row_spread=0.4, seed=42, prompt_lengths=NEXT_PROMPTS,
              long_prompts=(500,), greedy_lengths=NEXT_GREEDY),
]

# Small, and no dim a multiple of 128: most blocks are edges.
FP8_MODELS = [
    TinyModel("qwen3", "qwen3", d_model=144, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=40, d_ff=200, vocab=256,
              tied=True, n_logit_columns=64, row_spread=0.4, seed=51, fp8_scales="f32"),
    TinyModel("qwen3_moe", "qwen3_moe", d_model=136, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=36, d_ff=64, vocab=256,
              tied=False, rope_theta=1e7, n_experts=4, n_experts_used=2, d_ff_expert=72, n_shards=3, n_logit_columns=64,
              row_spread=0.4, seed=52, fp8_scales="bf16"),
    TinyModel("qwen3_next", "qwen3_next", d_model=136, n_layers=4, n_heads=4, n_kv_heads=2, head_dim=32, d_ff=48, vocab=256,
              tied=False, rope_theta=5e6, partial_rotary_factor=0.25, full_attention_interval=4, n_linear_key_heads=2,
              n_linear_value_heads=4, linear_key_dim=24, linear_value_dim=20, n_experts=4, n_experts_used=2, d_ff_expert=40,
              d_ff_shared=40, n_shards=2, n_logit_columns=64, row_spread=0.8, seed=53, fp8_scales="bf16"),
]


def config_json(model, dtype):
    config = {
        "architectures": [KINDS[model.kind]],
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "hidden_act": "silu",
        "hidden_size": model.d_model,
        "initializer_range": 0.02,
        "intermediate_size": model.d_ff,
        "max_position_embeddings": model.context,
        "max_window_layers": model.n_layers,
        "model_type": model.kind,
        "num_attention_heads": model.n_heads,
        "num_hidden_layers": model.n_layers,
        "num_key_value_heads": model.n_kv_heads,
        "rms_norm_eps": model.norm_eps,
        "rope_scaling": model.rope_scaling,
        "rope_theta": model.rope_theta,
        "sliding_window": None,
        "tie_word_embeddings": model.tied,
        "torch_dtype": {"f32": "float32", "bf16": "bfloat16", "fp8": "bfloat16"}[dtype],
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": model.vocab,
    }
    if model.kind != "qwen2":
        config["head_dim"] = model.head_dim
        config["attention_bias"] = False
    if model.kind in ("qwen3_moe", "qwen3_next"):
        config.update(
            decoder_sparse_step=model.decoder_sparse_step,
            mlp_only_layers=list(model.mlp_only_layers),
            moe_intermediate_size=model.d_ff_expert,
            norm_topk_prob=model.norm_topk_prob,
            num_experts=model.n_experts,
            num_experts_per_tok=model.n_experts_used,
            output_router_logits=False,
            router_aux_loss_coef=0.001,
        )
    if model.kind == "qwen3_next":
        config.update(
            linear_conv_kernel_dim=model.conv_width,
            linear_key_head_dim=model.linear_key_dim,
            linear_num_key_heads=model.n_linear_key_heads,
            linear_num_value_heads=model.n_linear_value_heads,
            linear_value_head_dim=model.linear_value_dim,
            shared_expert_intermediate_size=model.d_ff_shared,
        )
        if model.layer_types:
            config["layer_types"] = list(model.layer_types)
        else:
            config["full_attention_interval"] = model.full_attention_interval
        if model.rope_parameters:
            del config["rope_theta"], config["rope_scaling"]
            config["rope_parameters"] = {"rope_type": "default", "rope_theta": model.rope_theta,
                                         "partial_rotary_factor": model.partial_rotary_factor}
        else:
            config["partial_rotary_factor"] = model.partial_rotary_factor
    if dtype == "fp8":
        config["quantization_config"] = {
            "activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [FP8_BLOCK, FP8_BLOCK],
            "modules_to_not_convert": ["lm_head"]}
    return config


FP8_BLOCK = 128
FP8_MAX = 448.0
FP8_KEPT = ("embed_tokens", "lm_head", "norm", "mlp.gate.", "shared_expert_gate", "conv1d", "A_log", "dt_bias", "in_proj_ba")


def quantise_fp8(weights, scale_dtype):
    """(the tensors of an FP8 checkpoint, what they stand for in f32): blocks of 128 x 128 with the largest weight at the
    end of e4m3's range; edge blocks are smaller."""
    stored, values = {}, {}
    for name, w in weights.items():
        if w.dim() != 2 or any(part in name for part in FP8_KEPT):
            stored[name] = w.to(torch.bfloat16)
            values[name] = stored[name].float()
            continue
        rows, cols = (-(-n // FP8_BLOCK) for n in w.shape)
        scales = torch.zeros(rows, cols)
        for i in range(rows):
            for j in range(cols):
                block = w[i * FP8_BLOCK:(i + 1) * FP8_BLOCK, j * FP8_BLOCK:(j + 1) * FP8_BLOCK]
                scales[i, j] = block.abs().max() / FP8_MAX
        # Rounded up, so that no weight passes the range.
        scales = (scales * (1 + 2 ** -7)).to({"bf16": torch.bfloat16, "f32": torch.float32}[scale_dtype])
        spread = scales.float().repeat_interleave(FP8_BLOCK, 0).repeat_interleave(FP8_BLOCK, 1)[:w.shape[0], :w.shape[1]]
        stored[name] = (w / spread).to(torch.float8_e4m3fn)
        stored[name + "_scale_inv"] = scales
        values[name] = stored[name].float() * spread
    return stored, values


def linear_attention(model, prefix, w, rng, matrix, norm):
    """The tensors of one gated DeltaNet layer, rows of the projections interleaved by key head.

    Gains are smaller than elsewhere: what a state once took in stays, and with it what rounding did to it.
    """
    keys = model.n_linear_key_heads * model.linear_key_dim
    values = model.n_linear_value_heads * model.linear_value_dim
    channels = 2 * keys + values
    p = prefix + "linear_attn."
    w[p + "in_proj_qkvz.weight"] = matrix(channels + values, model.d_model)
    w[p + "in_proj_ba.weight"] = matrix(2 * model.n_linear_value_heads, model.d_model)
    w[p + "conv1d.weight"] = matrix(channels, model.conv_width, 1.2).reshape(channels, 1, model.conv_width)
    w[p + "A_log"] = torch.from_numpy(np.log(rng.uniform(0.1, 4.0, model.n_linear_value_heads)).astype(np.float32))
    w[p + "dt_bias"] = torch.from_numpy((rng.standard_normal(model.n_linear_value_heads) - 1).astype(np.float32))
    w[p + "norm.weight"] = norm(model.linear_value_dim)
    w[p + "out_proj.weight"] = matrix(model.d_model, values, 0.7)


def centre_norms(weights):
    """qwen3_next stores norms as their distance from one, all but the one inside linear_attn."""
    for name in weights:
        is_norm = name.endswith("norm.weight") or ".pre_fc_norm_" in name
        if is_norm and ".linear_attn." not in name:
            weights[name] = weights[name] - 1.0


def init_weights(model):
    """Published names -> f32 tensors.

    Weights are larger than a fresh initialisation's, so that every layer matters. The rows of the matrix that makes
    the logits get log-normal lengths: a tail that keeps the first choice ahead of the second, without which rounding
    to bf16 would decide most continuations of random weights.
    """
    rng = np.random.default_rng(model.seed)

    def matrix(rows, cols, gain=1.0):
        return torch.from_numpy((rng.standard_normal((rows, cols)) * gain / np.sqrt(cols)).astype(np.float32))

    def norm(size):
        return torch.from_numpy((1.0 + 0.3 * rng.standard_normal(size)).astype(np.float32))

    def row_lengths(rows):
        return torch.from_numpy(np.exp(model.row_spread * rng.standard_normal((rows, 1))).astype(np.float32))

    d, dq, dkv = model.d_model, model.n_heads * model.head_dim, model.n_kv_heads * model.head_dim
    w = {}

    def block(p, is_linear, is_moe):
        w[p + "input_layernorm.weight"] = norm(d)
        w[p + "post_attention_layernorm.weight"] = norm(d)
        if is_linear:
            linear_attention(model, p, w, rng, matrix, norm)
        else:
            q_rows = 2 * dq if model.kind == "qwen3_next" else dq  # each head's query, then its gate
            for name, rows in (("q", q_rows), ("k", dkv), ("v", dkv)):
                w[p + f"self_attn.{name}_proj.weight"] = matrix(rows, d, 1.5)
                if model.kind == "qwen2":
                    w[p + f"self_attn.{name}_proj.bias"] = matrix(1, rows, np.sqrt(rows)).reshape(-1).clone()
            w[p + "self_attn.o_proj.weight"] = matrix(d, dq, 1.2 if model.kind == "qwen3_next" else 2.0)
            if model.kind != "qwen2":
                w[p + "self_attn.q_norm.weight"] = norm(model.head_dim) * 1.5
                w[p + "self_attn.k_norm.weight"] = norm(model.head_dim)
        if is_moe:
            w[p + "mlp.gate.weight"] = matrix(model.n_experts, d, 5.0)
            for e in range(model.n_experts):
                q = p + f"mlp.experts.{e}."
                w[q + "gate_proj.weight"] = matrix(model.d_ff_expert, d, 1.5)
                w[q + "up_proj.weight"] = matrix(model.d_ff_expert, d, 1.5)
                w[q + "down_proj.weight"] = matrix(d, model.d_ff_expert, 0.2 if model.kind == "qwen3_next" else 0.8)
            if model.d_ff_shared:
                w[p + "mlp.shared_expert.gate_proj.weight"] = matrix(model.d_ff_shared, d, 1.5)
                w[p + "mlp.shared_expert.up_proj.weight"] = matrix(model.d_ff_shared, d, 1.5)
                w[p + "mlp.shared_expert.down_proj.weight"] = matrix(d, model.d_ff_shared, 0.8)
                w[p + "mlp.shared_expert_gate.weight"] = matrix(1, d, 2.0)
        else:
            w[p + "mlp.gate_proj.weight"] = matrix(model.d_ff, d, 1.5)
            w[p + "mlp.up_proj.weight"] = matrix(model.d_ff, d, 1.5)
            w[p + "mlp.down_proj.weight"] = matrix(d, model.d_ff, 0.8)

    w["model.embed_tokens.weight"] = matrix(model.vocab, d, np.sqrt(d))
    if model.tied:
        w["model.embed_tokens.weight"] *= row_lengths(model.vocab)
    for layer in range(model.n_layers):
        block(f"model.layers.{layer}.", model.is_linear(layer), model.is_moe(layer))
    # Mixed signs: with tied embeddings an all-positive norm makes every token its own most likely successor.
    w["model.norm.weight"] = norm(d) * torch.from_numpy(rng.choice([-1.0, 1.0], d).astype(np.float32))
    if not model.tied:
        w["lm_head.weight"] = matrix(model.vocab, d, 2.0) * row_lengths(model.vocab)
    if model.mtp:
        w["mtp.fc.weight"] = matrix(d, 2 * d)
        for name in ("pre_fc_norm_embedding", "pre_fc_norm_hidden", "norm"):
            w[f"mtp.{name}.weight"] = norm(d)
        block("mtp.layers.0.", is_linear=False, is_moe=True)
    if model.kind == "qwen3_next":
        centre_norms(w)
    return w


def stack_experts(model, weights):
    """The form of files saved again by transformers 5: one tensor for all experts, gate rows before up rows."""
    out = {k: v for k, v in weights.items() if ".mlp.experts." not in k}
    for layer in range(model.n_layers):
        p = f"model.layers.{layer}.mlp.experts."
        if not model.is_moe(layer):
            continue
        e = range(model.n_experts)
        out[p + "gate_up_proj"] = torch.stack(
            [torch.cat([weights[f"{p}{i}.gate_proj.weight"], weights[f"{p}{i}.up_proj.weight"]]) for i in e])
        out[p + "down_proj"] = torch.stack([weights[f"{p}{i}.down_proj.weight"] for i in e])
    return out


def save_checkpoint(model, weights, dtype, directory):
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("model*"):
        old.unlink()
    (directory / "config.json").write_text(json.dumps(config_json(model, dtype), indent=2) + "\n")
    if model.stacked_experts:
        weights = stack_experts(model, weights)
    if dtype == "fp8":
        weights, _ = quantise_fp8(weights, model.fp8_scales)
    else:
        torch_dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
        weights = {name: value.to(torch_dtype) for name, value in weights.items()}
    weights = {name: value.contiguous() for name, value in weights.items()}
    metadata = {"format": "pt"}
    if model.n_shards == 1:
        save_file(weights, directory / "model.safetensors", metadata)
        return
    names, weight_map, total = list(weights), {}, 0
    per_shard = -(-len(names) // model.n_shards)
    for i in range(model.n_shards):
        file = f"model-{i + 1:05}-of-{model.n_shards:05}.safetensors"
        part = {n: weights[n] for n in names[i * per_shard:(i + 1) * per_shard]}
        save_file(part, directory / file, metadata)
        weight_map.update({n: file for n in part})
        total += sum(t.numel() * t.element_size() for t in part.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
