"""Published shapes, and which tensors a GGUF file of each holds, in which types.

Sizes are those of the published config.json files; names and type choices are those of docs/formats/gguf.md and of
llama.cpp's "Q4_K_M" mixture.
"""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Shape:
    """Numbers of one architecture; those that an architecture lacks stay 0."""

    arch: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context: int
    rope_base: float
    ffn: int = 0
    tied: bool = False
    experts: int = 0
    experts_used: int = 0
    expert_ffn: int = 0
    shared_ffn: int = 0
    rotary: int = 0
    attention_every: int = 1  # every so many layers one of attention, the others recurrent
    key_heads: int = 0
    value_heads: int = 0
    state: int = 0
    conv: int = 0

    def is_recurrent(self, layer):
        return (layer + 1) % self.attention_every != 0


_QWEN3 = dict(arch="qwen3moe", head_dim=128, vocab=151936, context=262144, rope_base=1e7)
SHAPES = {
    "30b-a3b": Shape(**_QWEN3, layers=48, width=2048, heads=32, kv_heads=4, ffn=6144, experts=128, experts_used=8,
                     expert_ffn=768),
    "480b-a35b": Shape(**_QWEN3, layers=62, width=6144, heads=96, kv_heads=8, ffn=8192, experts=160, experts_used=8,
                       expert_ffn=2560),
    "next": Shape(arch="qwen3next", layers=48, width=2048, heads=16, kv_heads=2, head_dim=256, vocab=151936,
                  context=262144, rope_base=5e6, ffn=5120, experts=512, experts_used=10, expert_ffn=512,
                  shared_ffn=512, rotary=64, attention_every=4, key_heads=16, value_heads=32, state=128, conv=4),
    "1.5b": Shape(arch="qwen2", layers=28, width=1536, heads=12, kv_heads=2, head_dim=128, vocab=151936,
                  context=32768, rope_base=1e6, ffn=8960, tied=True),
    "7b": Shape(arch="qwen2", layers=28, width=3584, heads=28, kv_heads=4, head_dim=128, vocab=152064,
                context=32768, rope_base=1e6, ffn=18944),
}


@dataclasses.dataclass(frozen=True)
class Tensor:
    name: str
    dims: tuple  # innermost first, as GGUF stores them
    type: str

    @property
    def elements(self):
        product = 1
        for dim in self.dims:
            product *= dim
        return product


def _has_more_bits(layer, layers):
    """The layers that the mixture gives a better type: the first and last eighth, and every third between."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * eighth or (layer - eighth) % 3 == 2


def _mixed_type(role, layer, layers):
    if role == "head" or (role in ("attn_v", "ffn_down") and _has_more_bits(layer, layers)):
        return "q6_k"
    return "q5_k" if role == "attn_qkv" else "q4_k"


class _List:
    def __init__(self, shape, kind):
        self.shape, self.kind, self.tensors = shape, kind, []

    def matrix(self, name, dims, role="", layer=0):
        kind = _mixed_type(role, layer, self.shape.layers) if self.kind == "q4_k_m" else self.kind
        self.tensors.append(Tensor(name, dims, kind))

    def plain(self, name, *dims):
        self.tensors.append(Tensor(name, dims, "f32"))


def _attention(out, shape, block, layer):
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    gated = shape.arch == "qwen3next"
    out.matrix(block + "attn_q.weight", (shape.width, queries * (2 if gated else 1)))
    out.matrix(block + "attn_k.weight", (shape.width, keys))
    out.matrix(block + "attn_v.weight", (shape.width, keys), "attn_v", layer)
    out.matrix(block + "attn_output.weight", (queries, shape.width))
    if shape.arch == "qwen2":
        for name, size in (("q", queries), ("k", keys), ("v", keys)):
            out.plain(f"{block}attn_{name}.bias", size)
    else:
        out.plain(block + "attn_q_norm.weight", shape.head_dim)
        out.plain(block + "attn_k_norm.weight", shape.head_dim)


def _recurrent(out, shape, block):
    values = shape.value_heads * shape.state
    channels = 2 * shape.key_heads * shape.state + values
    out.matrix(block + "attn_qkv.weight", (shape.width, channels), "attn_qkv")
    out.matrix(block + "attn_gate.weight", (shape.width, values))
    out.matrix(block + "ssm_ba.weight", (shape.width, 2 * shape.value_heads))
    out.matrix(block + "ssm_out.weight", (values, shape.width))
    out.plain(block + "ssm_conv1d.weight", shape.conv, channels)
    out.plain(block + "ssm_a", shape.value_heads)
    out.plain(block + "ssm_dt.bias", shape.value_heads)
    out.plain(block + "ssm_norm.weight", shape.state)


def _feed_forward(out, shape, block, layer):
    if not shape.experts:
        out.matrix(block + "ffn_gate.weight", (shape.width, shape.ffn))
        out.matrix(block + "ffn_up.weight", (shape.width, shape.ffn))
        out.matrix(block + "ffn_down.weight", (shape.ffn, shape.width), "ffn_down", layer)
        return
    out.plain(block + "ffn_gate_inp.weight", shape.width, shape.experts)
    stack = (shape.width, shape.expert_ffn, shape.experts)
    out.matrix(block + "ffn_gate_exps.weight", stack)
    out.matrix(block + "ffn_up_exps.weight", stack)
    out.matrix(block + "ffn_down_exps.weight", (shape.expert_ffn, shape.width, shape.experts), "ffn_down", layer)
    if shape.shared_ffn:
        out.plain(block + "ffn_gate_inp_shexp.weight", shape.width)
        out.matrix(block + "ffn_gate_shexp.weight", (shape.width, shape.shared_ffn))
        out.matrix(block + "ffn_up_shexp.weight", (shape.width, shape.shared_ffn))
        out.matrix(block + "ffn_down_shexp.weight", (shape.shared_ffn, shape.width), "ffn_down", layer)


def tensors_of(shape, kind):
    """Every tensor of a file of this shape. kind: a block type, "bf16", "f16", or the mixture "q4_k_m"."""
    out = _List(shape, kind)
    if not shape.tied:
        out.matrix("output.weight", (shape.width, shape.vocab), "head")
    out.plain("output_norm.weight", shape.width)
    out.matrix("token_embd.weight", (shape.width, shape.vocab), "head" if shape.tied else "")
    ffn_norm = "post_attention_norm.weight" if shape.arch == "qwen3next" else "ffn_norm.weight"
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        out.plain(block + "attn_norm.weight", shape.width)
        if shape.is_recurrent(layer):
            _recurrent(out, shape, block)
        else:
            _attention(out, shape, block, layer)
        out.plain(block + ffn_norm, shape.width)
        _feed_forward(out, shape, block, layer)
    return out.tensors


def metadata_of(shape, kind):
    """[(key, value)]; the value's Python type chooses the stored one: int u32, float f32, str, bool."""
    file_types = {"q4_k_m": 15, "q8_0": 7, "bf16": 32, "f16": 1, "q4_0": 2}
    keys = [
        ("block_count", shape.layers), ("context_length", shape.context), ("embedding_length", shape.width),
        ("feed_forward_length", shape.ffn), ("attention.head_count", shape.heads),
        ("attention.head_count_kv", shape.kv_heads), ("attention.key_length", shape.head_dim),
        ("attention.value_length", shape.head_dim), ("attention.layer_norm_rms_epsilon", 1e-6),
        ("rope.freq_base", float(shape.rope_base)),
    ]
    if shape.experts:
        keys += [("expert_count", shape.experts), ("expert_used_count", shape.experts_used),
                 ("expert_feed_forward_length", shape.expert_ffn)]
    if shape.arch == "qwen3next":
        keys += [("expert_shared_feed_forward_length", shape.shared_ffn), ("rope.dimension_count", shape.rotary),
                 ("full_attention_interval", shape.attention_every), ("ssm.conv_kernel", shape.conv),
                 ("ssm.state_size", shape.state), ("ssm.group_count", shape.key_heads),
                 ("ssm.time_step_rank", shape.value_heads), ("ssm.inner_size", shape.value_heads * shape.state)]
    general = [("general.architecture", shape.arch), ("general.type", "model"),
               ("general.name", f"synthetic {shape.arch} {kind}"), ("general.file_type", file_types[kind]),
               ("general.quantization_version", 2)]
    return general + [(f"{shape.arch}.{key}", value) for key, value in keys]
