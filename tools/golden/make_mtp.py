"""Writes tests/golden/mtp: a tiny qwen3_next with a multi-token prediction head, and what the head computes.

    python tools/golden/make_mtp.py [--out tests/golden/mtp]

transformers ignores the head's tensors, so the reference is the plain computation below. Its block (attention and experts)
is held against transformers first: on the input of the model's own last layer it must give that layer's output.
"""

import argparse
import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file

import make_goldens
import tiny_models
from tiny_models import TinyModel

MODEL = TinyModel("mtp", "qwen3_next", d_model=32, n_layers=3, n_heads=4, n_kv_heads=2, head_dim=16, d_ff=48, vocab=64,
                  tied=False, rope_theta=5e6, partial_rotary_factor=0.5, full_attention_interval=3, n_linear_key_heads=2,
                  n_linear_value_heads=4, linear_key_dim=8, linear_value_dim=8, n_experts=4, n_experts_used=2,
                  d_ff_expert=16, d_ff_shared=12, mtp=True, row_spread=0.4, seed=61)
N_PROMPT = 70
N_DRAFTS = 3  # beyond the first, each from the head's own hidden state


def norm(x, w):
    return (1 + w) * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + MODEL.norm_eps)


def rotate(x):
    """x: [n, heads, head_dim]; row i stands at position i."""
    dims = int(MODEL.head_dim * MODEL.partial_rotary_factor)
    theta = MODEL.rope_theta ** (-torch.arange(0, dims, 2) / dims)
    angle = torch.arange(len(x))[:, None] * theta
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    a, b, rest = x[..., :dims // 2], x[..., dims // 2:dims], x[..., dims:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], -1)


def attention(w, p, x):
    n, d = len(x), MODEL.head_dim
    q, gate = (x @ w[p + "q_proj.weight"].T).view(n, MODEL.n_heads, 2, d).unbind(2)
    k = (x @ w[p + "k_proj.weight"].T).view(n, MODEL.n_kv_heads, d)
    v = (x @ w[p + "v_proj.weight"].T).view(n, MODEL.n_kv_heads, d)
    q = rotate(norm(q, w[p + "q_norm.weight"]))
    k = rotate(norm(k, w[p + "k_norm.weight"]))
    group = MODEL.n_heads // MODEL.n_kv_heads
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = torch.einsum("ihd,jhd->hij", q, k) / d ** 0.5
    scores += torch.full((n, n), -torch.inf).triu(1)
    out = torch.einsum("hij,jhd->ihd", scores.softmax(-1), v) * gate.sigmoid()
    return out.reshape(n, -1) @ w[p + "o_proj.weight"].T


def swiglu(w, p, x):
    return (F.silu(x @ w[p + "gate_proj.weight"].T) * (x @ w[p + "up_proj.weight"].T)) @ w[p + "down_proj.weight"].T


def experts(w, p, x):
    weight, chosen = (x @ w[p + "gate.weight"].T).softmax(-1).topk(MODEL.n_experts_used, -1)
    weight = weight / weight.sum(-1, keepdim=True)
    rows = [sum(a * swiglu(w, f"{p}experts.{e}.", row) for a, e in zip(weights, es))
            for row, weights, es in zip(x, weight, chosen.tolist())]
    shared = (x @ w[p + "shared_expert_gate.weight"].T).sigmoid() * swiglu(w, p + "shared_expert.", x)
    return torch.stack(rows) + shared


def block(w, p, x):
    x = x + attention(w, p + "self_attn.", norm(x, w[p + "input_layernorm.weight"]))
    return x + experts(w, p + "mlp.", norm(x, w[p + "post_attention_layernorm.weight"]))


def head(w, hidden, tokens):
    """hidden [n, d_model] of positions, tokens that follow them -> (the head's hidden states, logits), a row each."""
    embedded = norm(w["model.embed_tokens.weight"][tokens], w["mtp.pre_fc_norm_embedding.weight"])
    before = norm(hidden, w["mtp.pre_fc_norm_hidden.weight"])
    u = torch.cat([embedded, before], -1) @ w["mtp.fc.weight"].T
    after = norm(block(w, "mtp.layers.0.", u), w["mtp.norm.weight"])
    return after, after @ w["lm_head.weight"].T


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("--out", type=pathlib.Path, default=root / "tests/golden/mtp")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    weights = tiny_models.init_weights(MODEL)
    tiny_models.save_checkpoint(MODEL, weights, "f32", out / "f32")
    reference = make_goldens.load(out / "f32", torch.float32)
    prompt = [int(t) for t in np.random.default_rng(MODEL.seed).integers(0, MODEL.vocab, N_PROMPT)]
    layers, logits = make_goldens.run_prompt(reference, prompt)

    last = MODEL.n_layers - 1
    own = block(weights, f"model.layers.{last}.", layers[last])
    off = float((own - layers[last + 1]).abs().max() / layers[last + 1].std())
    assert off < 1e-5, f"the plain block is {off:.1e} away from transformers"

    hidden, tokens = layers[-1], [*prompt[1:], int(logits[-1].argmax())]
    drafts = tokens[-1:]
    for _ in range(N_DRAFTS + 1):
        after, drafted = head(weights, hidden, tokens)
        drafts.append(int(drafted[-1].argmax()))
        hidden = torch.cat([hidden, after[-1:]])
        tokens = [*tokens, drafts[-1]]
    numbers = {"hidden": layers[-1], "mtp_hidden": after, "mtp_logits": drafted}
    save_file({name: value.contiguous() for name, value in numbers.items()}, out / "expected.safetensors")
    facts = {"prompt": prompt, "drafts": drafts, "torch": torch.__version__, "transformers": transformers.__version__}
    (out / "expected.json").write_text(json.dumps(facts) + "\n")
    print(f"mtp: the plain block within {off:.1e} of transformers; drafts {drafts}; logits std {drafted.std():.3f}")


if __name__ == "__main__":
    main()
