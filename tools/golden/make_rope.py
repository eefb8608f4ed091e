"""Writes tests/golden/rope.json: the reference's rotary frequencies and some of its cosines and sines, as f32 bits.

    python tools/golden/make_rope.py

Shapes of the published checkpoints, plain and with YaRN at factor 4.
"""

import json
import pathlib

import torch
import transformers
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding

SHAPES = [  # name, head_dim, base, original context, YaRN factor (0: none)
    ("qwen2.5-0.5b", 64, 1e6, 32768, 0),
    ("qwen2.5-0.5b-yarn", 64, 1e6, 32768, 4.0),
    ("qwen2.5", 128, 1e6, 32768, 0),
    ("qwen2.5-yarn", 128, 1e6, 32768, 4.0),
    ("qwen3-coder", 128, 1e7, 262144, 0),
    ("qwen3-coder-yarn", 128, 1e7, 262144, 4.0),
    ("tiny-yarn", 32, 1e4, 64, 4.0),
]
POSITIONS = [0, 1, 7, 1023, 32767, 32768, 131071, 262143, 262144, 1048575]


def bits(tensor):
    return tensor.float().contiguous().view(torch.int32).tolist()


def main():
    out = {"torch": torch.__version__, "transformers": transformers.__version__, "positions": POSITIONS, "shapes": []}
    for name, head_dim, base, original, factor in SHAPES:
        rope = {"rope_type": "default", "rope_theta": base}
        if factor:
            rope.update(rope_type="yarn", factor=factor, original_max_position_embeddings=original)
        config = transformers.Qwen3Config(
            head_dim=head_dim, hidden_size=8 * head_dim, num_attention_heads=8,
            max_position_embeddings=int(original * (factor or 1)), rope_parameters=rope)
        module = Qwen3RotaryEmbedding(config)
        cos, sin = module(torch.zeros(1, 1), torch.tensor([POSITIONS]))
        half = head_dim // 2
        out["shapes"].append({
            "name": name, "head_dim": head_dim, "base": base, "original": original, "factor": factor,
            "frequencies": bits(module.inv_freq), "magnitude": float(module.attention_scaling),
            "cos": [bits(row[:half]) for row in cos[0]], "sin": [bits(row[:half]) for row in sin[0]]})
    path = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/rope.json"
    path.write_text(json.dumps(out, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")
    print(path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
