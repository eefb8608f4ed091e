"""Trains the model in the box on CPU. Resumes from the newest checkpoint of --work.

Phases: call it again with other --source lists and a larger --until-tokens; the optimizer state goes on.
The learning rate is constant after the warm-up and falls linearly to almost nothing over the last --decay-tokens.
"""

import argparse
import glob
import json
import math
import os
import time

import torch

from model import ModelConfig, Qwen3Moe
from muon import make_optimizers
from shards import Source


def learning_rate_factor(tokens, args):
    warm = min(1.0, (tokens + 1) / args.warmup_tokens)
    left = args.until_tokens - tokens
    if args.decay_tokens > 0 and left < args.decay_tokens:
        return warm * max(0.02, left / args.decay_tokens)
    return warm


def save_checkpoint(path, model, optimizers, state):
    data = {"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "state": state}
    torch.save(data, path + ".part")
    os.replace(path + ".part", path)


def parse_sources(specs, seed, args):
    """NAME=SHARE=GLOB: microbatches of that source come in proportion to SHARE."""
    sources = []
    for i, spec in enumerate(specs):
        name, share, pattern = spec.split("=", 2)
        paths = sorted(glob.glob(pattern))
        if not paths:
            raise SystemExit(f"source {name}: no file matches {pattern}")
        source = Source(paths, seed * 1000 + i, args.batch_tokens, pad_id=args.pad_id)
        print(f"source {name}: {len(source.lengths)} examples, {source.lengths.sum() / 1e6:.2f} M tokens", flush=True)
        sources.append([name, float(share), source, 0.0])
    return sources


def pick(sources):
    """The source that lags most behind its share (deterministic, in place of drawing lots)."""
    total = sum(s[1] for s in sources)
    for s in sources:
        s[3] += s[1] / total
    best = max(sources, key=lambda s: s[3])
    best[3] -= 1.0
    return best


def train(args):
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    os.makedirs(args.work, exist_ok=True)
    config = ModelConfig()
    model = Qwen3Moe(config)
    optimizers = make_optimizers(model, args.lr_matrix, args.lr_other)
    state = {"tokens": 0, "steps": 0, "seconds": 0.0}
    newest = os.path.join(args.work, "latest.pt")
    if os.path.exists(newest):
        data = torch.load(newest, weights_only=True)
        model.load_state_dict(data["model"])
        for o, s in zip(optimizers, data["optimizers"]):
            o.load_state_dict(s)
        state = data["state"]
        print(f"resumed at {state['tokens'] / 1e6:.2f} M tokens, step {state['steps']}", flush=True)
    base = [args.lr_matrix, args.lr_other]
    sources = parse_sources(args.source, args.seed + state["steps"], args)
    last_save, started, before = time.time(), time.time(), state["seconds"]
    log = open(os.path.join(args.work, "log.jsonl"), "a", encoding="utf-8")
    recent, window = {}, (time.time(), state["tokens"])
    while state["tokens"] < args.until_tokens and not os.path.exists(os.path.join(args.work, "stop")):
        factor = learning_rate_factor(state["tokens"], args)
        for o, lr in zip(optimizers, base):
            for group in o.param_groups:
                group["lr"] = lr * factor
        for _ in range(args.accumulate):
            name, _, source, _ = pick(sources)
            ids, weights = source.next()
            total = float(weights[:, 1:].sum())
            loss, balance = model.loss(torch.from_numpy(ids), torch.from_numpy(weights))
            # A floor keeps batches with few counted tokens from weighing as much as full ones.
            scaled = loss / max(total, args.batch_tokens / 8)
            ((scaled + args.balance * balance) / args.accumulate).backward()
            state["tokens"] += ids.size
            entry = recent.setdefault(name, [0.0, 0.0, 0.0, 0])
            entry[0] += loss.item()
            entry[1] += total
            entry[2] += balance.item()
            entry[3] += 1
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        if math.isfinite(norm.item()):
            for o in optimizers:
                o.step()
        model.zero_grad(set_to_none=True)
        state["steps"] += 1
        state["seconds"] = before + time.time() - started
        if state["steps"] % 10 == 0:
            now = time.time()
            row = {"step": state["steps"], "tokens": state["tokens"], "seconds": round(state["seconds"]),
                   "lr": round(factor, 4), "norm": round(norm.item(), 3),
                   "rate": round((state["tokens"] - window[1]) / (now - window[0])),
                   **{k: round(v[0] / max(v[1], 1), 4) for k, v in sorted(recent.items())},
                   "balance": round(sum(v[2] for v in recent.values()) / sum(v[3] for v in recent.values()), 3)}
            print(json.dumps(row), file=log, flush=True)
            print(json.dumps(row), flush=True)
            recent, window = {}, (now, state["tokens"])
        if time.time() - last_save > args.save_seconds:
            save_checkpoint(newest, model, optimizers, state)
            last_save = time.time()
    save_checkpoint(newest, model, optimizers, state)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", required=True, help="folder of checkpoints and the log")
    parser.add_argument("--source", action="append", required=True, help="NAME=SHARE=GLOB of .npz shards")
    parser.add_argument("--until-tokens", type=float, required=True)
    parser.add_argument("--decay-tokens", type=float, default=0)
    parser.add_argument("--warmup-tokens", type=float, default=600_000)
    parser.add_argument("--batch-tokens", type=int, default=8192, help="tokens per microbatch")
    parser.add_argument("--accumulate", type=int, default=2, help="microbatches per step")
    parser.add_argument("--lr-matrix", type=float, default=4e-3)
    parser.add_argument("--lr-other", type=float, default=2e-3)
    parser.add_argument("--balance", type=float, default=0.01)
    parser.add_argument("--clip", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pad-id", type=int, default=16358)
    parser.add_argument("--save-seconds", type=float, default=180)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
