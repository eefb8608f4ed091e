"""The programs printed in the providers' guides, cut out of the guides' texts with the host and the key changed, and
nothing else.

The guides are other people's and not in this repository: they are read from QUERN_GUIDES (default: the folder
shared/guides beside the checkout). One of them has lost its indentation, which Python needs; DEPTHS gives it back.
"""
import os
import pathlib
import re

from client_servers import ROOT

GUIDES = pathlib.Path(os.environ.get("QUERN_GUIDES", ROOT.parent / "shared/guides"))
HOSTS = re.compile(
    r"https://(\{WorkspaceId\}\.[a-z0-9-]+\.maas\.aliyuncs\.com|api\.novita\.ai|api\.segmind\.com)(?=/)")
KEY = "YOUR API-KEY"  # where a program has it in its text; the others take it from the environment
KEY_NAMES = ["DASHSCOPE_API_KEY", "NOVITA_API_KEY"]

# The texts run a program's last line together with what follows it.
GLUED = re.compile(r"(?<=main\(\);)(?=\w)|(?<=text\))(?=import OpenAI)|(?<=^\}')(?=\w)|(?<=\}\)\(\);)(?=\w)", re.M)

# By language: the line a program begins with, its last line, and the first one behind it (either may end it).
SHAPES = {
    "python": (r"import (os|json|dashscope)|from http import .*|schema = .*", None,
               r"Result|Response|import OpenAI.*|(This example|Use function calling) .*"),
    "esm": (r"import OpenAI from .*", r"main\(\);", None),
    "cjs": (r"const axios = .*|javascript", r".*\}\)\(\);.*", None),
    "java": (r"import (java|com)\..*", None, r"Result|Response"),
    "curl": (r"curl .*", r"\}'", None),
}

# What each guide shows, in its order.
CONTENTS = {
    "model-studio-qwen-coder.txt": {
        "python": ["first", "first-native", "tools", "tools-native", "partial", "partial-native", "prefix", "infix"],
        "esm": ["first", "tools", "partial", "prefix", "infix"],
        "java": ["first", "tools"],
        "curl": ["first", "first-native", "tools-first-step", "tools-first-step-native", "partial", "partial-native",
                 "prefix", "infix"],
    },
    "novita-qwen3-coder-next.txt": {"curl": ["review"], "python": ["review", "agent-step", "schema"]},
    "segmind-qwen3-coder-flash.txt": {"cjs": ["joke"]},
    "segmind-qwen3-coder-plus.txt": {"cjs": ["joke"]},
}

# Runs of lines and their depth, of the programs that have blocks and lost them: "LINESxDEPTH ...".
DEPTHS = {
    "first-native": "23x0 1x1 1x0 3x1",
    "partial-native": "20x0 1x1 1x0 3x1",
    "tools": "34x0 2x1 5x2 1x1 1x2 8x0 1x1 3x0 1x1 1x0 2x1 1x2 14x3 8x2 1x3 1x2 1x1",
    "tools-native": "30x0 2x1 5x2 1x1 1x2 10x0 4x1 1x2 1x1 2x2 1x3 14x4 9x3 3x4 1x3 2x4 1x0 1x1",
}


def cut(text, language):
    """All programs of a language in a guide, in order."""
    begin, last, behind = SHAPES[language]
    programs, current = [], None
    for line in GLUED.sub("\n", text).split("\n"):
        if current is None and re.fullmatch(begin, line):
            current = []
        if current is None:
            continue
        over = behind and re.fullmatch(behind, line)
        if not over:
            current.append(line)
        if over or (last and re.fullmatch(last, line)):
            programs.append("\n".join(current) + "\n")
            current = None
    return programs


def indented(text, name):
    depths = [int(depth) for run in DEPTHS[name].split() for n, depth in [run.split("x")] for _ in range(int(n))]
    lines = text.splitlines()
    assert len(lines) == len(depths), f"the guide's program '{name}' has other lines than DEPTHS was written for"
    return "".join("    " * depth + line + "\n" for line, depth in zip(lines, depths))


def program_of(guide, language, name, base, key):
    """One program's text, aimed at base (no path) with this key."""
    names = CONTENTS[guide][language]
    programs = cut((GUIDES / guide).read_text(encoding="utf-8"), language)
    assert len(programs) == len(names), f"{guide} shows {len(programs)} {language} programs, not {len(names)}"
    text = programs[names.index(name)]
    if language == "python" and name in DEPTHS:
        text = indented(text, name)
    if language == "cjs":
        text = text[text.index("const axios"):]
    return HOSTS.sub(base, text).replace(KEY, key)
