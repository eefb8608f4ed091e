"""Servers for the API tests. QUERN_BIN names the program (default build/quern)."""

import json

import pytest
import answers
from wire import ROOT, Server


@pytest.fixture(scope="session")
def scripted(tmp_path_factory):
    """A server whose answers tests/api/answers.py writes down."""
    path = tmp_path_factory.mktemp("script") / "script.json"
    path.write_text(json.dumps(answers.COMMON))
    server = Server("--script", path, "--name", "demo")
    yield server
    assert server.is_well(), "".join(server.errors)
    server.stop()


@pytest.fixture(scope="session")
def demo():
    """A server with the model in the box."""
    server = Server("--model", ROOT / "models/demo", "--name", "demo")
    yield server
    assert server.is_well(), "".join(server.errors)
    server.stop()


@pytest.fixture
def serve(tmp_path):
    """Starts further servers: serve(rules, "--flag", ..., context_length=...). They end with the test."""
    servers = []

    def start(rules, *args, **top_level):
        path = tmp_path / f"script{len(servers)}.json"
        path.write_text(json.dumps({"rules": rules, **top_level}))
        servers.append(Server("--script", path, "--name", "demo", *args))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
