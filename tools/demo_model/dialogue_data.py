"""Shards of dialogues and raw completions, written by the generators of dialogues/."""

import argparse
import random

from tokenizers import Tokenizer

from dialogues import coding, mixture, synthetic_tools
from dialogues.render import Renderer
from shards import ShardWriter


def cut_document(text, rng):
    """Two parts that are tokenized apart, as a prompt and its continuation are; the first may be empty."""
    form = rng.random()
    if form < 0.25:
        return "", text
    if form < 0.5:
        return text[:text.index("(")], text[text.index("("):]
    if form < 0.75:
        border = text.index(":\n") + rng.choice([1, 1, 2])
        return text[:border], text[border:]
    border = rng.randint(4, len(text) - 1)
    return text[:border], text[border:]


def raw_example(tok, rng):
    """A known function as plain text (continuations) or with a gap (fill in the middle)."""
    end = tok.token_to_id("<|endoftext|>")
    if rng.random() < 0.4:
        head, rest = cut_document(coding.raw_document(rng), rng)
        head, rest = tok.encode(head).ids, tok.encode(rest).ids + [end]
        return head + rest, [0.3] * len(head) + [1.0] * len(rest)
    prefix, suffix, middle = coding.fim_parts(rng)
    head = tok.encode(coding.fim_text(prefix, suffix)).ids
    body = tok.encode(middle).ids + [end]
    return head + body, [0.0] + [0.05] * (len(head) - 1) + [1.0] * len(body)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--chat-template", default="models/demo/chat_template.jinja")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--max-tokens", type=int, default=1536)
    parser.add_argument("--only", help="one generator of the mixture")
    parser.add_argument("--show", type=int, default=0, help="print that many examples instead of writing")
    parser.add_argument("--out")
    args = parser.parse_args()
    tok = Tokenizer.from_file(args.tokenizer)
    synthetic_tools.WORDS.__init__(tok.get_vocab())
    renderer = Renderer(tok, args.chat_template)
    rng = random.Random(args.seed)
    writer = ShardWriter()
    for i in range(args.show or args.count):
        name = args.only or mixture.pick(rng)
        if name == "raw":
            ids, weights = raw_example(tok, rng)
        else:
            ids, weights = renderer.example(*mixture.GENERATORS[name][1](rng))
        if args.show:
            print(tok.decode(ids, skip_special_tokens=False) + f"\n==== {name}, {len(ids)} tokens\n")
        elif len(ids) <= args.max_tokens:
            writer.add(ids, weights)
    if not args.show:
        writer.save(args.out)
        print(f"{args.out}: {len(writer.lengths)} examples, {writer.n_tokens() / 1e6:.2f} M tokens")


if __name__ == "__main__":
    main()
