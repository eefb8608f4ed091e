#!/usr/bin/env python3
"""Writes tests/cases/chat/corpus.case: outputs as models write them, with the calls that they mean.

Usage: make_corpus.py > tests/cases/chat/corpus.case

Everything is drawn from one seed, so the file is the same each time; tests/chat/test_corpus.py holds it to that. An
expectation is what the generator meant to write, never what a parser made of it.
"""

import json
import random
import sys

STRING = {"type": "string"}
TOOLS = {
    "write_file": {"type": "object", "properties": {"path": STRING, "content": STRING, "overwrite": {"type": "boolean"}}},
    "edit": {"type": "object", "properties": {"path": STRING, "old": STRING, "new": STRING, "count": {"type": "integer"}}},
    "run": {"type": "object", "properties": {"command": STRING, "timeout": {"type": "integer"}, "env": {"type": "object"}}},
    "search": {"type": "object", "properties": {
        "query": STRING, "paths": {"type": "array", "items": STRING}, "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "weight": {"type": "number"}}},
    "todo": {"type": "object", "properties": {"items": {"type": "array", "items": {"$ref": "#/$defs/item"}}, "note": STRING},
             "$defs": {"item": {"type": "object"}}},
    "done": {"type": "object", "properties": {}},
}
WORDS = "fix the parser so that empty lines stay where they are and run all tests again before you answer".split()
PATHS = ["src/main.rs", "a.py", "lib/util/str.c", "docs/read me.md", "web/index.html", "Makefile", "测试/文件.txt", "x/../y.ts"]
TEXTS = [
    "def f(x):\n    if x < 3 and x > 1:\n        return [x]\n\n    return []\n",
    "<html>\n  <body class=\"a\">\n    <p>5 &lt; 6 &amp; 7</p>\n  </body>\n</html>",
    "#include <vector>\nint main() { return std::vector<int>{1}.size(); }",
    "SELECT * FROM t WHERE a <> 'b' AND c = \"d\";",
    "{\"a\": [1, 2, {\"b\": null}]}",
    "key: value\nlist:\n  - one\n  - 'two'\n",
    "echo \"$HOME\" | sed 's/\\//_/g' && ls -la",
    "tab\there, back\\slash, quote\" and 'single'",
    "中文、日本語、한국어 and emoji 👩‍👩‍👧 e\u0301",
    "null", "true", "03106", "1e5", "[1, 2", "None", "  leading and trailing  ", "", "\n", "one\n\n\ntwo",
    "<div><function></div>", "a < b", "</div>", "<parameter>", "<tool>", "#!/bin/sh\nset -e\n",
    "if (a </* c */ b) {}", "-->", "<<<<<<< HEAD\nx\n=======\ny\n>>>>>>> other",
]
PROSE = ["Let me look.", "I will write the file now.\n\n", "好的。\n", "First, **run** it:\n", "Sure -> here goes: a<b\n", "1 < 2.\n"]


def as_json(value):
    return json.dumps(value, ensure_ascii=False)


class Maker:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.cases = []

    def value(self, name, key):
        rng = self.rng
        kind = TOOLS[name]["properties"][key]
        if kind == STRING:
            if key == "path":
                return rng.choice(PATHS)
            return rng.choice(TEXTS) if rng.random() < 0.7 else " ".join(rng.choices(WORDS, k=rng.randrange(1, 9)))
        if "anyOf" in kind:
            return rng.choice([None, rng.randrange(100)])
        return {
            "boolean": lambda: rng.random() < 0.5,
            "integer": lambda: rng.choice([0, -7, 42, 2**53 + 1, rng.randrange(10**6)]),
            "number": lambda: rng.choice([0.5, -2.25, 3.75]),
            "object": lambda: {"LANG": "C", "N": rng.randrange(9), "list": [True, None]},
            "array": lambda: [rng.choice(PATHS) for _ in range(rng.randrange(3))]
            if key == "paths"
            else [{"id": i, "text": rng.choice(WORDS), "done": rng.random() < 0.5} for i in range(rng.randrange(3))],
        }[kind["type"]]()

    def call(self, least=0):
        """A function and its arguments in the order in which they are written."""
        name = self.rng.choice([n for n in TOOLS if len(TOOLS[n]["properties"]) >= least])
        keys = list(TOOLS[name]["properties"])
        self.rng.shuffle(keys)
        keys = keys[: self.rng.randrange(least, len(keys) + 1)]
        return name, {key: self.value(name, key) for key in keys}

    def add(self, name, text, expected, syntax="xml"):
        self.cases.append((f"{name} {len(self.cases)}", syntax, text, expected))


def text_of(value):
    return value if isinstance(value, str) else as_json(value)


def parameter(key, value):
    return f"<parameter={key}>\n{text_of(value)}\n</parameter>\n"


def xml(call):
    name, arguments = call
    return f"<tool_call>\n<function={name}>\n" + "".join(parameter(k, v) for k, v in arguments.items()) + "</function>\n</tool_call>"


def hermes(call):
    return "<tool_call>\n" + as_json({"name": call[0], "arguments": call[1]}) + "\n</tool_call>"


def call_line(call, word="call"):
    return f"{word} {call[0]} {as_json(call[1])}"


def content_line(text):
    return f"content {as_json(text)}"


def well_formed(maker, n, write, syntax):
    for i in range(n):
        calls = [maker.call() for _ in range(maker.rng.choice([1, 1, 2, 3]))]
        prose = maker.rng.choice(PROSE) if maker.rng.random() < 0.5 else ""
        text = prose + "\n".join(map(write, calls))
        if i % 7 == 0:
            text += "\n"
        maker.add("well formed", text, ([content_line(prose)] if prose else []) + list(map(call_line, calls)), syntax)


def no_opener(text, call):
    return text.removeprefix("<tool_call>\n")


def no_call_closer(text, call):
    return text.removesuffix("\n</tool_call>")


def no_closers(text, call):
    return text.removesuffix("\n</function>\n</tool_call>") if not call[1] else text.removesuffix("</function>\n</tool_call>")


def no_function_closer(text, call):
    return text.removesuffix("</function>\n</tool_call>") + "</tool_call>"


def doubled_closers(text, call):
    return text.replace("\n</parameter>\n", "\n</parameter>\n</parameter>\n")


def blank_lines(text, call):
    return text.replace("\n</parameter>\n", "\n</parameter>\n\n\n").replace("<tool_call>\n", "<tool_call>\n\n ")


def indented_tags(text, call):
    return text.replace("\n</parameter>\n", "\n</parameter>\n  ").replace("</function>\n", "</function>\n  ")


def quoted_names(text, call):
    for key in call[1]:
        text = text.replace(f"<parameter={key}>", f"<parameter= \"{key}\">")
    return text.replace(f"<function={call[0]}>", f"<function='{call[0]}' >")


def one_line(text, call):
    """Values on the lines of their tags; only for values that begin and end with a letter or digit."""
    for key, value in call[1].items():
        text = text.replace(parameter(key, value), f"<parameter={key}>{text_of(value)}</parameter>\n")
    return text


def missing_parameter_closer(text, call):
    """Each value ends where the next tag begins."""
    return text.replace("\n</parameter>\n", "\n")


def words_of_python(text, call):
    for key, value in call[1].items():
        if isinstance(value, bool):
            text = text.replace(parameter(key, value), f"<parameter={key}>\n{value}\n</parameter>\n")
        if isinstance(value, (dict, list)):
            text = text.replace(parameter(key, value), f"<parameter={key}>\n{value!r}\n</parameter>\n")
    return text


def is_simple(value):
    text = text_of(value)
    return bool(text) and "<" not in text and text[0].isalnum() and text[-1].isalnum() and "\n" not in text


SLOPPY = [no_opener, no_call_closer, no_closers, no_function_closer, doubled_closers, blank_lines, indented_tags, quoted_names,
          one_line, missing_parameter_closer, words_of_python]
ONLY_SIMPLE = {one_line, missing_parameter_closer, no_closers}


def sloppy(maker, n_each):
    for change in SLOPPY:
        n = 0
        while n < n_each:
            call = maker.call(least=1)
            if change in ONLY_SIMPLE and not all(is_simple(v) for v in call[1].values()):
                continue
            text = change(xml(call), call)
            word = "cut" if change is no_closers else "call"
            maker.add(change.__name__.replace("_", " "), text, [call_line(call, word)])
            n += 1


def truncated(maker, n):
    while n > 0:
        name, arguments = maker.call(least=1)
        *before, last = arguments
        value = arguments[last]
        if not isinstance(value, str) or "<" in value or "\n" in value or len(value) < 2:
            continue
        cut = maker.rng.randrange(1, len(value) + 1)
        if value[:cut].endswith((" ", "\t")) or any(ord(c) > 0x3000 for c in value):
            continue
        whole = {key: arguments[key] for key in before}
        head = f"<tool_call>\n<function={name}>\n" + "".join(parameter(k, v) for k, v in whole.items())
        kind = n % 3
        if kind == 0:
            maker.add("cut in a value", head + f"<parameter={last}>\n" + value[:cut],
                      [call_line((name, {**whole, last: value[:cut]}), "cut")])
        elif kind == 1:
            maker.add("cut between parameters", head, [call_line((name, whole), "cut")])
        else:
            tag = "\n</parameter>"
            maker.add("cut in a closing tag", head + f"<parameter={last}>\n" + value + tag[: maker.rng.randrange(3, len(tag))],
                      [call_line((name, {**whole, last: value}), "cut")])
        n -= 1


def adversarial(maker, n_each):
    rng = maker.rng
    inner = ["a </parameter> b", "x </function> y", "<tool_call> in a line", "say </tool_call> twice", "<parameter=zzz>\nq",
             "<function=done>", "`<tool_call>`", "</parameter", "<tool_call", "&lt;/parameter&gt;", "<|im_end|>\n<|im_start|>user\nhi",
             "<think>\nhm\n</think>", "<tool_response>\nok\n</tool_response>"]
    for i in range(n_each * 3):
        name, arguments = maker.call()
        arguments = {"path": "t.md", "content": rng.choice(inner) + rng.choice(["", " tail", "\nmore\n"])}
        maker.add("tags in a value", xml(("write_file", arguments)), [call_line(("write_file", arguments))])
    prose = ["Write <tool_call> first.", "The tag </tool_call> ends it.", "Use `<function=NAME>` here.", "a <parameter=x> b",
             "<tool_call", "<", "<<tool_call>", "<tool_response>", "In XML: <function>x</function>", "<tool_call>no call</tool_call>",
             "&lt;tool_call&gt;", "<TOOL_CALL>\n<FUNCTION=done>", "<|im_start|>assistant\n<tool call>", "<function= done", "{\"name\": \"done\"}"]
    for i in range(n_each):
        text = f"{rng.choice(WORDS)} {prose[i % len(prose)]} {rng.choice(WORDS)}"
        maker.add("prose about calls", text, [content_line(text)])
        call = maker.call()
        maker.add("prose about calls, then a call", text + "\n" + xml(call), [content_line(text + "\n"), call_line(call)])
    for i in range(n_each):
        name, arguments = maker.call()
        head, tail = f"<tool_call>\n<function=no_{name}", xml(("x", {k: v for k, v in arguments.items() if is_simple(v)}))
        rest = tail.removeprefix("<tool_call>\n<function=x")
        maker.add("a function that was not offered", head + rest,
                  [content_line(head), "warning that was offered", content_line(rest)])
    for i in range(n_each):
        call = maker.call(least=1)
        key, value = next(iter(call[1].items()))
        name, arguments = call
        again = parameter(key, value if not isinstance(value, str) else "other")
        text = xml(call).replace("</function>", again + "</function>", 1)
        if "</function>" in "".join(map(text_of, arguments.values())):
            continue
        maker.add("a parameter twice", text, [f"warning \"{key}\" was given twice", call_line(call)])


def hermes_sloppy(maker, n_each):
    rng = maker.rng
    for _ in range(n_each):
        name, arguments = call = maker.call()
        body = as_json({"name": name, "arguments": arguments})
        for label, text in (
            ("no blanks", f"<tool_call>{body}</tool_call>"),
            ("bare", body),
            ("in a fence", f"```json\n{body}\n```"),
            ("arguments as text", "<tool_call>\n" + as_json({"name": name, "arguments": as_json(arguments)}) + "\n</tool_call>"),
            ("parameters", "<tool_call>\n" + as_json({"name": name, "parameters": arguments}) + "\n</tool_call>"),
            ("arguments first", "<tool_call>\n" + as_json({"arguments": arguments, "name": name}) + "\n</tool_call>"),
            ("not closed", f"<tool_call>\n{body}\n"),
            ("several lines", "<tool_call>\n" + json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False, indent=2) + "\n</tool_call>"),
        ):
            maker.add(f"hermes, {label}", text, [call_line(call)], "hermes")
        cut = body[: rng.randrange(len(body) // 2, len(body) - 1)]
        maker.add("hermes, cut", "<tool_call>\n" + cut, [content_line("<tool_call>\n" + cut), "warning is not closed"], "hermes")
        other = "<tool_call>\n" + as_json({"name": "no_" + name, "arguments": arguments})
        maker.add("hermes, not offered", other + "\n</tool_call>",
                  [content_line(other), "warning that was offered", content_line("\n</tool_call>")], "hermes")


def corpus():
    maker = Maker(2026)
    well_formed(maker, 110, xml, "xml")
    sloppy(maker, 14)
    truncated(maker, 60)
    adversarial(maker, 20)
    well_formed(maker, 50, hermes, "hermes")
    hermes_sloppy(maker, 7)
    lines = ["=== the tools of all cases below", f"tools: {json.dumps(TOOLS)}", "--- input", "Hello.", "--- expect", content_line("Hello.")]
    for name, syntax, text, expected in maker.cases:
        lines += [f"=== {name}", f"syntax: {syntax}", "--- input", text, "--- expect", *expected]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(corpus())
