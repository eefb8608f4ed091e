"""A compact Qwen3-MoE for training on a CPU.

The parameters map one to one to the Hugging Face names (see export.py). Experts of one layer are stored
stacked, and tokens are sorted by expert so that each expert is one dense matrix product. The loss head never
keeps the whole [tokens, vocab] matrix: it computes gradients chunk by chunk in the forward pass.
"""

import dataclasses
import os

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass
class ModelConfig:
    vocab_size: int = 16384
    d_model: int = 256
    n_layers: int = 8
    n_heads: int = 4
    n_kv_heads: int = 2
    head_dim: int = 64
    n_experts: int = 8
    n_experts_used: int = 2
    d_expert: int = 224
    rope_theta: float = 100000.0
    norm_eps: float = 1e-6


def maybe_compile(function):
    """Fuses element-wise code into one loop. QUERN_DEMO_COMPILE=0 keeps plain torch."""
    if os.environ.get("QUERN_DEMO_COMPILE", "1") == "0":
        return function
    return torch.compile(function, dynamic=True)


@maybe_compile
def rms_norm(x, weight, eps):
    xf = x.float()
    return (xf * torch.rsqrt(xf.square().mean(-1, keepdim=True) + eps) * weight).to(x.dtype)


@maybe_compile
def norm_and_rope(x, weight, cos, sin, eps):
    """x: [b, t, heads, head_dim]; cos and sin: [t, 1, head_dim] f32."""
    xf = x.float()
    xf = xf * torch.rsqrt(xf.square().mean(-1, keepdim=True) + eps) * weight
    half = x.shape[-1] // 2
    rotated = torch.cat([-xf[..., half:], xf[..., :half]], dim=-1)
    return (xf * cos + rotated * sin).to(x.dtype)


@maybe_compile
def swiglu(gate, up):
    return (F.silu(gate.float()) * up.float()).to(gate.dtype)


@maybe_compile
def swiglu_grads(gate, up, grad):
    """Gradients of swiglu for both inputs, and its value again (so that it need not be kept)."""
    g, u, d = gate.float(), up.float(), grad.float()
    s = torch.sigmoid(g)
    silu = g * s
    dt = gate.dtype
    return (d * u * (s + silu * (1 - s))).to(dt), (d * silu).to(dt), (silu * u).to(dt)


@maybe_compile
def softmax_grads(logits, row_weights):
    """softmax(logits) * row_weights in the logits' type, and the log of the normaliser."""
    lf = logits.float()
    top = lf.amax(-1, keepdim=True)
    e = (lf - top).exp()
    total = e.sum(-1, keepdim=True)
    return (e * (row_weights / total)).to(logits.dtype), top + total.log()


def rope_tables(length, head_dim, theta):
    inv = 1.0 / (theta ** (torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim))
    angle = torch.arange(length, dtype=torch.float64)[:, None] * inv[None, :]
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos().float(), angle.sin().float()


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.q_proj = nn.Linear(c.d_model, c.n_heads * c.head_dim, bias=False)
        self.k_proj = nn.Linear(c.d_model, c.n_kv_heads * c.head_dim, bias=False)
        self.v_proj = nn.Linear(c.d_model, c.n_kv_heads * c.head_dim, bias=False)
        self.o_proj = nn.Linear(c.n_heads * c.head_dim, c.d_model, bias=False)
        self.q_norm = nn.Parameter(torch.ones(c.head_dim))
        self.k_norm = nn.Parameter(torch.ones(c.head_dim))

    def forward(self, x, cos, sin):
        c = self.c
        b, t, _ = x.shape
        dt = x.dtype
        q = F.linear(x, self.q_proj.weight.to(dt)).view(b, t, c.n_heads, c.head_dim)
        k = F.linear(x, self.k_proj.weight.to(dt)).view(b, t, c.n_kv_heads, c.head_dim)
        v = F.linear(x, self.v_proj.weight.to(dt)).view(b, t, c.n_kv_heads, c.head_dim)
        q = norm_and_rope(q, self.q_norm, cos, sin, c.norm_eps).transpose(1, 2)
        k = norm_and_rope(k, self.k_norm, cos, sin, c.norm_eps).transpose(1, 2)
        v = v.transpose(1, 2)
        group = c.n_heads // c.n_kv_heads
        k = k.repeat_interleave(group, dim=1)
        v = v.repeat_interleave(group, dim=1)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out = out.transpose(1, 2).reshape(b, t, c.n_heads * c.head_dim)
        return F.linear(out, self.o_proj.weight.to(dt))


class ExpertFfn(torch.autograd.Function):
    """SwiGLU of rows sorted by expert. xs: [n, d]; gate, up: [experts, f, d]; down: [experts, d, f]."""

    @staticmethod
    def forward(ctx, xs, gate, up, down, counts):
        dt = xs.dtype
        gate, up, down = gate.to(dt), up.to(dt), down.to(dt)
        g = torch.empty(xs.shape[0], gate.shape[1], dtype=dt)
        u = torch.empty_like(g)
        lo = 0
        for e, n in enumerate(counts):
            torch.mm(xs[lo:lo + n], gate[e].t(), out=g[lo:lo + n])
            torch.mm(xs[lo:lo + n], up[e].t(), out=u[lo:lo + n])
            lo += n
        hidden = swiglu(g, u)
        out = torch.empty_like(xs)
        lo = 0
        for e, n in enumerate(counts):
            torch.mm(hidden[lo:lo + n], down[e].t(), out=out[lo:lo + n])
            lo += n
        ctx.save_for_backward(xs, gate, up, down, g, u)
        ctx.counts = counts
        return out

    @staticmethod
    def backward(ctx, grad):
        xs, gate, up, down, g, u = ctx.saved_tensors
        grad = grad.contiguous()
        dh = torch.empty_like(g)
        lo = 0
        for e, n in enumerate(ctx.counts):
            torch.mm(grad[lo:lo + n], down[e], out=dh[lo:lo + n])
            lo += n
        dg, du, hidden = swiglu_grads(g, u, dh)
        dx = torch.empty_like(xs)
        dgate, dup, ddown = (torch.zeros(w.shape) for w in (gate, up, down))
        lo = 0
        for e, n in enumerate(ctx.counts):
            part = slice(lo, lo + n)
            lo += n
            if n == 0:
                continue
            dx[part] = torch.addmm(dg[part] @ gate[e], du[part], up[e])
            dgate[e] = dg[part].t() @ xs[part]
            dup[e] = du[part].t() @ xs[part]
            ddown[e] = grad[part].t() @ hidden[part]
        return dx, dgate, dup, ddown, None


class Experts(nn.Module):
    """Softmax over all experts, the best k kept and renormalised (norm_topk_prob)."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        self.router = nn.Parameter(torch.empty(c.n_experts, c.d_model))
        self.gate = nn.Parameter(torch.empty(c.n_experts, c.d_expert, c.d_model))
        self.up = nn.Parameter(torch.empty(c.n_experts, c.d_expert, c.d_model))
        self.down = nn.Parameter(torch.empty(c.n_experts, c.d_model, c.d_expert))

    def forward(self, x):
        c = self.c
        shape = x.shape
        x = x.reshape(-1, c.d_model)
        k = c.n_experts_used
        probs = F.linear(x.float(), self.router).softmax(-1)
        weights, chosen = probs.topk(k, dim=-1)
        weights = weights / weights.sum(-1, keepdim=True)
        order = chosen.reshape(-1).argsort(stable=True)
        counts = torch.bincount(chosen.reshape(-1), minlength=c.n_experts)
        xs = x.index_select(0, order // k)
        ys = ExpertFfn.apply(xs, self.gate, self.up, self.down, counts.tolist())
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(order.numel())
        ys = ys.index_select(0, inverse).view(-1, k, c.d_model)
        out = (ys * weights.to(x.dtype)[:, :, None]).sum(1)
        # Load balancing after Switch Transformers: fraction routed times mean probability.
        balance = c.n_experts * (counts.float() / counts.sum() * probs.mean(0)).sum()
        return out.view(shape), balance


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.eps = c.norm_eps
        self.attn_norm = nn.Parameter(torch.ones(c.d_model))
        self.mlp_norm = nn.Parameter(torch.ones(c.d_model))
        self.attn = Attention(c)
        self.experts = Experts(c)

    def forward(self, x, cos, sin):
        x = x + self.attn(rms_norm(x, self.attn_norm, self.eps), cos, sin)
        y, balance = self.experts(rms_norm(x, self.mlp_norm, self.eps))
        return x + y, balance


class FusedLoss(torch.autograd.Function):
    """Weighted cross entropy of h @ W^T. h: [n, d] bf16, W: [vocab, d], targets and weights: [n]."""

    @staticmethod
    def forward(ctx, h, w, targets, weights, chunk):
        wb = w.to(h.dtype)
        grad_h = torch.empty_like(h)
        grad_w = torch.zeros_like(w)
        total = torch.zeros(())
        for lo in range(0, h.shape[0], chunk):
            hi = min(lo + chunk, h.shape[0])
            part = h[lo:hi]
            logits = part @ wb.t()
            t = targets[lo:hi, None]
            wt = weights[lo:hi, None]
            probs, lse = softmax_grads(logits, wt)
            total += ((lse - logits.gather(1, t).float()) * wt).sum()
            probs.scatter_add_(1, t, -wt.to(probs.dtype))
            grad_h[lo:hi] = probs @ wb
            grad_w += (probs.t() @ part).float()
        ctx.save_for_backward(grad_h, grad_w)
        return total

    @staticmethod
    def backward(ctx, grad_out):
        grad_h, grad_w = ctx.saved_tensors
        return grad_h * grad_out.to(grad_h.dtype), grad_w * grad_out, None, None, None


class Qwen3Moe(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.embed = nn.Parameter(torch.empty(c.vocab_size, c.d_model))
        self.blocks = nn.ModuleList([Block(c) for _ in range(c.n_layers)])
        self.final_norm = nn.Parameter(torch.ones(c.d_model))
        self.tables = {}
        self.reset_parameters()

    def reset_parameters(self):
        for name, p in self.named_parameters():
            if p.dim() >= 2:
                nn.init.normal_(p, std=0.02)
            if name.endswith(("o_proj.weight", "down")):
                p.data.mul_((2 * self.c.n_layers) ** -0.5)

    def hidden(self, ids, dtype):
        t = ids.shape[1]
        if t not in self.tables:
            cos, sin = rope_tables(t, self.c.head_dim, self.c.rope_theta)
            self.tables[t] = (cos[:, None, :], sin[:, None, :])
        cos, sin = self.tables[t]
        x = F.embedding(ids, self.embed).to(dtype)
        balance = torch.zeros(())
        for block in self.blocks:
            x, b = block(x, cos, sin)
            balance = balance + b
        return rms_norm(x, self.final_norm, self.c.norm_eps), balance / len(self.blocks)

    def loss(self, ids, weights, dtype=torch.bfloat16, chunk=512):
        """ids: [b, t]; weights: [b, t], weight of predicting that token. Sum of weighted losses, balance."""
        h, balance = self.hidden(ids, dtype)
        flat_w = weights[:, 1:].reshape(-1)
        keep = flat_w.nonzero()[:, 0]
        h = h[:, :-1].reshape(-1, self.c.d_model)[keep]
        targets = ids[:, 1:].reshape(-1)[keep]
        return FusedLoss.apply(h, self.embed, targets, flat_w[keep], chunk), balance

    def logits(self, ids, dtype=torch.float32):
        h, _ = self.hidden(ids, dtype)
        return F.linear(h, self.embed.to(dtype)).float()
