"""Dialogues -> text by the checkpoint's chat template -> token ids with weights."""

import json
import re

import jinja2

PROMPT_WEIGHT = 0.05
# The body of a function is learned early and is most of an answer's tokens; names and choices are few and harder.
BODY_WEIGHT = 0.3
BODY = re.compile(r"^def [^\n]*:\n(.*?)(?=\n```|\n</parameter>|<\|im_end\|>)", re.S | re.M)


def load_template(path):
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=False)
    environment.filters["tojson"] = lambda v, **_: json.dumps(v, ensure_ascii=False)
    with open(path, encoding="utf-8") as f:
        return environment.from_string(f.read())


class Renderer:
    def __init__(self, tokenizer, template_path):
        self.tok = tokenizer
        self.template = load_template(template_path)

    def prompt(self, messages, tools=None):
        arguments = {"messages": messages, "add_generation_prompt": True}
        if tools:
            arguments["tools"] = tools
        return self.template.render(**arguments)

    def example(self, messages, tools=None):
        """(ids, weights): the assistant's words and their end count fully, the user's a little, tools not."""
        arguments = {"messages": messages}
        if tools:
            arguments["tools"] = tools
        text = self.template.render(**arguments)
        encoded = self.tok.encode(text)
        spans = self._spans(text)
        weights, at = [], 0
        for lo, _ in encoded.offsets:
            while at + 1 < len(spans) and spans[at + 1][0] <= lo:
                at += 1
            weights.append(spans[at][1])
        return encoded.ids, weights

    def _spans(self, text):
        """[(start, weight)]; each turn's header weighs nothing, its body as its role says."""
        spans, at = [(0, 0.0)], 0
        while True:
            start = text.find("<|im_start|>", at)
            if start < 0:
                return spans
            end = text.find("<|im_end|>", start)
            role = text[start + 12:text.index("\n", start)]
            body = start + 12 + len(role) + 1
            weight = {"assistant": 1.0, "user": PROMPT_WEIGHT}.get(role, 0.0)
            spans += [(start, 0.0), (body, weight)]
            if role == "assistant":
                for code in BODY.finditer(text, body, end + 10):
                    spans += [(code.start(1), BODY_WEIGHT), (code.end(1), weight)]
            spans.append((end + 10, 0.0))
            at = end + 10
