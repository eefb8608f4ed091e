"""Pass rates of the tasks at temperature 0, through transformers or through a running server (--url)."""

import argparse
import collections
import json
import random
import re
import time

import stdlib
import tasks
from code_data import single_line_split, windows
from server_backend import ServerBackend
from tasks import Answer, Task


def parse_calls(text):
    """(content, calls) of the canonical form only; the server's own parser is more forgiving."""
    calls = []
    for block in re.findall(r"<tool_call>\n(.*?)\n</tool_call>", text, re.S):
        found = re.fullmatch(r"<function=([^>\n]+)>\n(.*)</function>", block, re.S)
        if not found:
            return text, []
        parameters = re.findall(r"<parameter=([^>\n]+)>\n(.*?)\n</parameter>\n", found.group(2), re.S)
        calls.append((found.group(1), dict(parameters)))
    return (text.split("<tool_call>")[0].strip() if calls else text), calls


class LocalBackend:
    """The exported directory through transformers."""

    def __init__(self, folder, threads=1):
        import torch
        from tokenizers import Tokenizer
        from transformers import Qwen3MoeForCausalLM
        from dialogues.render import Renderer
        self.torch = torch
        torch.set_num_threads(threads)
        self.model = Qwen3MoeForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tok = Tokenizer.from_file(folder + "/tokenizer.json")
        self.renderer = Renderer(self.tok, folder + "/chat_template.jinja")
        get = self.tok.token_to_id
        self.stops = [get(t) for t in ("<|endoftext|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>",
                                       "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|im_start|>")]

    def generate(self, text, max_tokens):
        if text.endswith("<|fim_suffix|>"):
            text += "<|fim_middle|>"
        ids = self.torch.tensor([self.tok.encode(text).ids])
        with self.torch.no_grad():
            out = self.model.generate(ids, max_new_tokens=max_tokens, do_sample=False, eos_token_id=self.stops, pad_token_id=self.stops[0],
                                      attention_mask=self.torch.ones_like(ids), temperature=None, top_p=None, top_k=None)
        new = [i for i in out[0, ids.shape[1]:].tolist() if i not in self.stops]
        return self.tok.decode(new, skip_special_tokens=False)

    def answer(self, task):
        if task.prompt is not None:
            return Answer(self.generate(task.prompt, task.max_tokens))
        content, calls = parse_calls(self.generate(self.renderer.prompt(task.messages, task.tools), task.max_tokens))
        return Answer(content, calls)


def passes(backend, task):
    """(passed, reason)."""
    try:
        task.check(backend.answer(task))
        return True, ""
    except Exception as error:  # a wrong answer can fail in any way when it is run
        return False, f"{type(error).__name__}: {str(error)[:400]}"


def report_tasks(backend, chosen, show):
    totals = collections.defaultdict(lambda: [0, 0])
    for task in chosen:
        good, reason = passes(backend, task)
        totals[task.group][0] += good
        totals[task.group][1] += 1
        if not good and show:
            asked = task.prompt if task.prompt is not None else task.messages[-1]["content"]
            print(f"  FAIL {task.group}: {asked[:110]!r}\n       {reason}", flush=True)
    for group, (good, n) in totals.items():
        print(f"{group:14} {good}/{n}", flush=True)


def held_out_lines(root, count, seed):
    """Single-line FIM tasks from files that were never trained on."""
    rng = random.Random(seed)
    pieces = [p for _, text in stdlib.read_sources(root, held_out=True) for p in windows(text, rng)]
    rng.shuffle(pieces)
    for piece in pieces[:count]:
        split = single_line_split(piece.replace("<|", "< |"), rng)
        if split:
            yield split


def report_fim(backend, root, count):
    good = n = 0
    for prefix, suffix, middle in held_out_lines(root, count, seed=5):
        answer = backend.answer(Task("fim", prompt=f"<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>", max_tokens=48))
        good += answer.content.strip() == middle.strip()
        n += 1
    print(f"held-out single-line FIM, exact match: {good}/{n} = {100 * good / max(n, 1):.1f} %", flush=True)


def report_unseen_tools(backend, vocabulary, count):
    """Three made-up tools each; names, parameters and values are words kept out of the training."""
    from dialogues.synthetic_tools import Words, synthetic_dialogue
    words, rng = Words(vocabulary), random.Random(99)
    named = exact = 0
    for _ in range(count):
        messages, tools = synthetic_dialogue(rng, words, unseen=True, n_tools=3)
        at = next(i for i, m in enumerate(messages) if m.get("tool_calls"))
        wanted = messages[at]["tool_calls"][0]["function"]
        answer = backend.answer(Task("unseen", messages[:at], tools=tools, max_tokens=200))
        if len(answer.tool_calls) == 1 and answer.tool_calls[0][0] == wanted["name"]:
            named += 1
            got = answer.tool_calls[0][1]
            exact += normal(got) == normal(wanted["arguments"])
    print(f"unseen tools, three offered: right tool {named}/{count}, right tool and all arguments {exact}/{count}", flush=True)


def normal(arguments):
    def text(v):
        if isinstance(v, bool):
            return str(v).lower()
        if isinstance(v, (list, dict)):
            return json.dumps(v)
        return str(v)
    return {k: text(v) for k, v in arguments.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="models/demo", help="exported directory (its tokenizer is needed with --url too)")
    parser.add_argument("--url", help="such as http://127.0.0.1:8080/v1")
    parser.add_argument("--stdlib", default=stdlib.default_root())
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parts", default="required,functions,fim,tools")
    parser.add_argument("--only", help="one group of the required tasks")
    parser.add_argument("--fim", type=int, default=200)
    parser.add_argument("--tools", type=int, default=100)
    parser.add_argument("--quiet", action="store_true", help="totals only")
    args = parser.parse_args()
    backend = ServerBackend(args.url) if args.url else LocalBackend(args.model, args.threads)
    started = time.time()
    parts = args.parts.split(",")
    if "required" in parts:
        report_tasks(backend, [t for t in tasks.required_tasks() if args.only in (None, t.group)], not args.quiet)
    if "functions" in parts:
        report_tasks(backend, list(tasks.function_tasks()), not args.quiet)
    if "tools" in parts:
        from tokenizers import Tokenizer
        report_unseen_tools(backend, Tokenizer.from_file(args.model + "/tokenizer.json").get_vocab(), args.tools)
    if "fim" in parts:
        report_fim(backend, args.stdlib, args.fim)
    print(f"{time.time() - started:.0f} seconds")


if __name__ == "__main__":
    main()
