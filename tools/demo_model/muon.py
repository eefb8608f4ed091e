"""Muon for the matrices inside the layers (orthogonalised momentum), AdamW for everything else."""

import torch


def orthogonalize(g, steps=5):
    """Newton-Schulz iteration towards the nearest orthogonal matrix. g: [..., rows, cols], any batch."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.to(torch.bfloat16)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        xx = x @ x.mT
        x = a * x + (b * xx + c * xx @ xx) @ x
    return (x.mT if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Updates are scaled to the size AdamW's usually have, so that one learning rate serves both."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(p)
                m = state["momentum"].mul_(group["momentum"]).add_(p.grad)
                update = orthogonalize(p.grad.add(m, alpha=group["momentum"]))
                scale = 0.2 * max(p.shape[-2:]) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * scale)


def make_optimizers(model, lr_matrix, lr_other):
    matrices, others = [], []
    for name, p in model.named_parameters():
        inner = p.dim() >= 2 and not name.endswith("router") and name != "embed"
        (matrices if inner else others).append(p)
    return [Muon(matrices, lr=lr_matrix, weight_decay=0.02),
            torch.optim.AdamW(others, lr=lr_other, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)]
