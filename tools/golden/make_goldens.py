"""Writes tests/golden/model and tests/golden/fp8: tiny random checkpoints and what transformers computes with them.

    python tools/golden/make_goldens.py [--set model|fp8] [--only NAME] [--out tests/golden]

Three runs of the reference per checkpoint, see README.md: `f32` (the f32 weights in f32), `wide` (the bf16 weights in
f32) and `bf16` (the bf16 weights in bf16). For an FP8 checkpoint `wide` is what its weights stand for, in f32, and `bf16`
these rounded to bf16, in bf16. Everything is seeded; eager attention; one thread.
"""

import argparse
import json
import pathlib
import tempfile

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

import tiny_models

N_GREEDY = 64
HIDDEN_PROMPT_LENGTHS = [1, 5, 17, 37]
GREEDY_PROMPT_LENGTHS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15, 16, 17, 19, 23, 29, 31, 32, 33, 37, 45]


def load(directory, dtype):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype=dtype, attn_implementation="eager", local_files_only=True)
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")
    return model.eval()


@torch.no_grad()
def run_prompt(model, ids):
    """(hidden [n_layers + 2, n_rows, d_model]: embedding, each layer's output, final norm; logits [n_rows, vocab])."""
    seen = []

    def keep(_module, _inputs, output):
        value = output[0] if isinstance(output, tuple) else output
        seen.append(value.detach().reshape(len(ids), -1).float().clone())

    body = model.model
    hooks = [m.register_forward_hook(keep) for m in (body.embed_tokens, *body.layers, body.norm)]
    logits = model(torch.tensor([ids])).logits[0].float()
    for hook in hooks:
        hook.remove()
    return torch.stack(seen), logits


@torch.no_grad()
def greedy(model, prompt):
    """(ids, margin per step, logits per step), with the reference's own KV cache, as generate() does."""
    ids, margins, rows = [], [], []
    cache, step_input = None, torch.tensor([prompt])
    for _ in range(N_GREEDY):
        out = model(step_input, past_key_values=cache, use_cache=True)
        cache, row = out.past_key_values, out.logits[0, -1].float()
        top = torch.topk(row, 2).values
        ids.append(int(row.argmax()))
        margins.append(float(top[0] - top[1]))
        rows.append(row)
        step_input = torch.tensor([[ids[-1]]])
    return ids, margins, torch.stack(rows)


@torch.no_grad()
def difference_of_forms(model, prompts):
    """How far the reference's chunked form (whole prompts) and its recurrent form (token by token) are apart in f32:
    the largest difference of two logits, as a part of the logits' standard deviation."""
    whole, stepped = [], []
    for ids in prompts:
        whole.append(model(torch.tensor([ids])).logits[0])
        cache = None
        for token in ids:
            out = model(torch.tensor([[token]]), past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            stepped.append(out.logits[0, -1])
    whole = torch.cat(whole)
    return float((torch.stack(stepped) - whole).abs().max() / whole.std())


@torch.no_grad()
def logits_and_routers(model, ids):
    """logits [n, vocab]; router logits [n, n_experts] in f32 arithmetic, one per MoE layer."""
    routers = []

    def keep(module, inputs, _output):
        x = inputs[0].reshape(len(ids), -1).float()
        routers.append(x @ module.weight.float().T)

    gates = [layer.mlp.gate for layer in model.model.layers if hasattr(layer.mlp, "experts")]
    hooks = [gate.register_forward_hook(keep) for gate in gates]
    logits = model(torch.tensor([ids])).logits[0].float()
    for hook in hooks:
        hook.remove()
    return logits, routers


def largest_change_of_a_distance(a, b):
    return (a - b).max(-1).values - (a - b).min(-1).values


def rounding_along(runs, model, prompt, ids, bf16_rows):
    """Per step of a bf16 continuation, what rounding decides there:

    the largest change that bf16 makes to the distance of any two logits, and whether some layer's router sees the last
    expert it takes and the first it leaves closer together than bf16 moves its logits.
    """
    logits, routers = logits_and_routers(runs["wide"], prompt + ids[:-1])
    _, bf16_routers = logits_and_routers(runs["bf16"], prompt + ids[:-1])
    change = largest_change_of_a_distance(bf16_rows, logits[len(prompt) - 1:])
    close = torch.zeros(len(ids), dtype=torch.bool)
    for wide, bf16 in zip(routers, bf16_routers):
        best = wide.topk(model.n_experts_used + 1, -1).values
        close |= (best[:, -2] - best[:, -1] < largest_change_of_a_distance(bf16, wide))[len(prompt) - 1:]
    return change.tolist(), close.int().tolist()


def rows_with_hidden_states(prompts):
    """Which rows of all prompts together are stored: all of a short prompt; of a long one every 16th, those around the
    reference's chunks of 64 tokens, and the last."""
    rows, first = [], 0
    for prompt in prompts:
        n = len(prompt)
        rows += [first + i for i in range(n) if n <= 128 or i % 16 == 0 or i % 64 in (1, 63) or i + 2 >= n]
        first += n
    return rows


def make_prompts(model, lengths, rng):
    return [[int(t) for t in rng.integers(0, model.vocab, n)] for n in lengths]


def write_checkpoints(model, directory):
    """Writes the checkpoints of a case; the reference of each run."""
    weights = tiny_models.init_weights(model)
    if model.fp8_scales:
        tiny_models.save_checkpoint(model, weights, "fp8", directory / "fp8")
        _, values = tiny_models.quantise_fp8(weights, model.fp8_scales)
        with tempfile.TemporaryDirectory() as plain:
            tiny_models.save_checkpoint(model, values, "f32", plain)
            return {"wide": load(plain, torch.float32), "bf16": load(plain, torch.bfloat16)}
    tiny_models.save_checkpoint(model, weights, "bf16", directory / "bf16")
    runs = {"wide": load(directory / "bf16", torch.float32), "bf16": load(directory / "bf16", torch.bfloat16)}
    if model.f32:
        tiny_models.save_checkpoint(model, weights, "f32", directory / "f32")
        runs["f32"] = load(directory / "f32", torch.float32)
    return runs


def make_case(model, out):
    directory = out / model.name
    runs = write_checkpoints(model, directory)

    rng = np.random.default_rng(model.seed + 1000)
    prompts = make_prompts(model, model.prompt_lengths or HIDDEN_PROMPT_LENGTHS, rng)
    prompts += make_prompts(model, model.long_prompts, np.random.default_rng(model.seed + 2000))
    columns = np.arange(model.vocab)
    if model.n_logit_columns:
        columns = np.sort(rng.choice(model.vocab, model.n_logit_columns, replace=False))
    rows = rows_with_hidden_states(prompts)
    numbers = {"logit_columns": torch.from_numpy(columns.astype(np.int32)),
               "hidden_rows": torch.tensor(rows, dtype=torch.int32)}
    facts = {"name": model.name, "prompts": prompts, "torch": torch.__version__,
             "transformers": transformers.__version__}
    for run, reference in runs.items():
        hidden, logits = zip(*(run_prompt(reference, p) for p in prompts))
        hidden, logits = torch.cat(hidden, 1)[:, rows], torch.cat(logits, 0)[:, columns]
        if run == "bf16":
            # The largest difference of a few hundred rows says something; that of many more is an outlier's, where one
            # flipped expert throws a recurrent model off for the rest of its prompt. Their mean square holds for all.
            n_short = sum(len(p) for p in prompts) - sum(model.long_prompts)
            off = hidden - numbers["wide.hidden"]
            short = [row < n_short for row in rows]
            facts["bf16_difference_rows"] = n_short
            facts["bf16_hidden_difference"] = [float(v) for v in off[:, short].abs().amax((1, 2))]
            facts["bf16_hidden_rms"] = [float(v) for v in off.square().mean((1, 2)).sqrt()]
            off = logits - numbers["wide.logits"]
            facts["bf16_logit_difference"] = float(off[:n_short].abs().max())
            facts["bf16_logit_rms"] = float(off.square().mean().sqrt())
        else:
            numbers[f"{run}.hidden"], numbers[f"{run}.logits"] = hidden, logits

    if model.kind == "qwen3_next":
        forms = [difference_of_forms(reference, prompts) for run, reference in runs.items() if run != "bf16"]
        facts["f32_forms_difference"] = max(forms)

    starts = make_prompts(model, model.greedy_lengths or GREEDY_PROMPT_LENGTHS, rng)
    first = "f32" if "f32" in runs else "wide"
    facts["greedy"], agree, n_close, n_routed = [], 0, 0, 0
    for prompt in starts:
        f32_ids, f32_margin, _ = greedy(runs[first], prompt)
        bf16_ids, bf16_margin, rows = greedy(runs["bf16"], prompt)
        rounding, close = rounding_along(runs, model, prompt, bf16_ids, rows)
        wide_ids, wide_margin, _ = greedy(runs["wide"], prompt)
        agree += wide_ids == bf16_ids
        n_close += sum(m < r for m, r in zip(bf16_margin, rounding))
        n_routed += sum(close)
        facts["greedy"].append({
            "prompt": prompt, "f32": f32_ids, "bf16": bf16_ids,
            "f32_margin_min": float(np.min(f32_margin)),
            "bf16_margin": [round(v, 5) for v in bf16_margin], "bf16_rounding": [round(v, 5) for v in rounding],
            "router_close": close})
    for name, value in numbers.items():
        numbers[name] = value.contiguous()
    save_file(numbers, directory / "expected.safetensors")
    text = json.dumps(facts, separators=(",", ":")).replace('{"prompt"', '\n{"prompt"')
    (directory / "expected.json").write_text(text + "\n")
    distinct = np.mean([len(set(g["f32"])) for g in facts["greedy"]])
    spread = float(numbers["wide.logits"].std())
    print(f"{model.name}: logits std {spread:.3f}, bf16 differs by {facts['bf16_logit_difference']:.4f}; "
          f"smallest f32 margin {min(g['f32_margin_min'] for g in facts['greedy']):.2e}; "
          f"reference bf16 = wide in {agree} of {len(starts)} continuations; {n_close} of {len(starts) * N_GREEDY} "
          f"steps inside the rounding, at {n_routed} a router is; distinct tokens {distinct:.1f} of 64",
          flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("--out", type=pathlib.Path, default=root / "tests/golden")
    parser.add_argument("--set", choices=["model", "fp8"])
    parser.add_argument("--only")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name, models in (("model", tiny_models.MODELS), ("fp8", tiny_models.FP8_MODELS)):
        for model in models:
            if args.set in (None, name) and args.only in (None, model.name):
                make_case(model, args.out / name)


if __name__ == "__main__":
    main()
