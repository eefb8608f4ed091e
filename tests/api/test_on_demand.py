"""Several models in one memory: loaded when they are asked for, evicted to make room, gone when nobody asks."""

import json
import subprocess
import threading

import pytest
from wire import LIMIT_S, QUERN, ROOT, Server, wait_until

DEMO = ROOT / "models/demo"


def table(name, **keys):
    keys = {"path": str(DEMO), "kv_memory": "32MiB", "context": 512, **keys}
    lines = ["[[models]]", f'name = "{name}"'] + [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


@pytest.fixture
def start(tmp_path):
    servers = []

    def start(text, *args):
        config = tmp_path / f"quern{len(servers)}.toml"
        config.write_text(text)
        servers.append(Server("--config", config, *args))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def size(tmp_path_factory):
    """What the model in the box takes with the keys above, in bytes."""
    config = tmp_path_factory.mktemp("size") / "quern.toml"
    config.write_text(table("m"))
    server = Server("--config", config)
    try:
        return server.get("/api/tags").json()["models"][0]["size"]
    finally:
        server.stop()


def loaded(server):
    return [model["name"] for model in server.get("/api/ps").json()["models"]]


def state(server, name):
    return server.get(f"/v1/models/{name}").json()["status"]["value"]


def ask(server, name, **fields):
    answer = server.chat("hi", model=name, max_tokens=2, **fields)
    assert answer.status == 200, answer.text
    assert answer.json()["model"] == name
    return answer.content


def test_a_model_comes_with_its_first_request(start):
    server = start(table("one", alias=["uno"]) + table("two"))
    assert loaded(server) == [] and state(server, "one") == "unloaded"
    ids = [model["id"] for model in server.get("/v1/models").json()["data"]]
    assert ids[:3] == ["one", "uno", "two"] and "qwen3-coder-plus" in ids
    first = ask(server, "one")
    assert loaded(server) == ["one"] and state(server, "one") == "loaded"
    assert ask(server, "uno") == ask(server, "qwen3-coder-plus") == first
    assert ask(server, "two") == first and loaded(server) == ["one", "two"]
    assert server.chat("hi", model="three").status == 404
    assert server.post("/v1/messages", {"model": "three", "max_tokens": 1, "messages": []}).status == 404


def test_every_dialect_waits_for_its_model(start):
    server = start(table("one", keep_alive=0))
    messages = [{"role": "user", "content": "hi"}]
    for path, body in [
        ("/v1/chat/completions", {"model": "one", "messages": messages, "max_tokens": 2}),
        ("/v1/completions", {"model": "one", "prompt": "def f", "max_tokens": 2}),
        ("/v1/messages", {"model": "one", "messages": messages, "max_tokens": 2}),
        ("/v1/responses", {"model": "one", "input": "hi", "max_output_tokens": 2}),
        ("/api/chat", {"model": "one", "messages": messages, "stream": False, "options": {"num_predict": 2}}),
        (
            "/api/v1/services/aigc/text-generation/generation",
            {"model": "one", "input": {"messages": messages}, "parameters": {"max_tokens": 2}},
        ),
    ]:
        assert server.post(path, body).status == 200, path
        wait_until(lambda: loaded(server) == [], f"unused after {path}")


def test_the_least_recently_used_makes_room(start, size):
    server = start(table("a") + table("b") + table("c"), "--memory", int(size * 2.5))
    for name in ("a", "b", "a", "c"):
        ask(server, name)
    assert loaded(server) == ["a", "c"]
    ask(server, "b")
    assert loaded(server) == ["b", "c"]


def test_many_requests_for_more_models_than_fit(start, size):
    server = start(table("a") + table("b") + table("c"), "--memory", int(size * 1.5))
    said, threads = [], []
    for i in range(12):
        threads.append(threading.Thread(target=lambda name: said.append(ask(server, name)), args=("abc"[i % 3],)))
        threads[-1].start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert len(said) == 12 and len(set(said)) == 1
    assert len(loaded(server)) == 1


def test_what_cannot_fit_is_refused_with_numbers(tmp_path, size):
    config = tmp_path / "quern.toml"
    config.write_text(table("big"))
    command = [QUERN, "serve", "--listen", "127.0.0.1:0", "--config", config, "--memory", str(size // 2)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 1
    assert "big" in done.stderr and "MiB" in done.stderr


def test_ollamas_keep_alive(start):
    server = start(table("one", keep_alive=3600))
    body = {"model": "one", "messages": [{"role": "user", "content": "hi"}], "stream": False}
    body["options"] = {"num_predict": 1}
    for brief in (0, "0", "10ms", "0s"):
        assert server.post("/api/chat", {**body, "keep_alive": brief}).status == 200
        wait_until(lambda: loaded(server) == [], "it is unloaded at once")
    for long in (-1, "-1", "24h", "1h30m", 600, 1.5e300):
        assert server.post("/api/chat", {**body, "keep_alive": long}).status == 200
        assert loaded(server) == ["one"]
    for wrong in ("soon", "5 minutes", True, [], "m", "--1", "1x"):
        answer = server.post("/api/generate", {"model": "one", "prompt": "x", "keep_alive": wrong})
        assert answer.status == 400 and "keep_alive" in answer.json()["error"]


def test_a_model_that_cannot_be_loaded_says_why(start, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in DEMO.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    server = start(table("good") + table("bad", path=str(broken)))
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    for _ in range(2):
        answer = server.chat("hi", model="bad")
        assert answer.status == 503 and "could not be loaded" in answer.error["message"], answer.text
    assert str(broken) not in answer.text
    wait_until(lambda: "model.safetensors" in "".join(server.errors), "the operator reads why")
    ask(server, "good")
    assert loaded(server) == ["good"]


def test_the_model_of_the_flag_stays(start, size):
    server = start(table("a") + table("b"), "--model", DEMO, "--name", "own", "--kv-memory", "32MiB", "--context", 512,
                   "--memory", int(size * 2.5))
    assert loaded(server) == ["own"]
    for name in ("a", "b", "own"):
        ask(server, name)
    assert loaded(server) == ["own", "b"]


@pytest.mark.parametrize("path, more", [("/api/generate", {}), ("/api/chat", {"messages": []})])
def test_ollama_loads_and_unloads_without_asking(start, path, more):
    server = start(table("one", keep_alive=3600))
    assert server.post(path, {"model": "one", "keep_alive": 0, **more}).json()["done_reason"] == "unload"
    assert loaded(server) == [], "what is not there is not loaded to be unloaded"
    answer = server.post(path, {"model": "one", **more}).json()
    assert (answer["done"], answer["done_reason"]) == (True, "load") and loaded(server) == ["one"]
    [running] = server.get("/api/ps").json()["models"]
    assert running["size"] > 0
    assert server.post(path, {"model": "one", "keep_alive": 0, **more}).json()["done_reason"] == "unload"
    wait_until(lambda: loaded(server) == [], "it is unloaded")


def test_a_model_of_the_command_line_says_its_size(size):
    server = Server("--model", DEMO, "--name", "own", "--kv-memory", "32MiB", "--context", 512)
    try:
        [running] = server.get("/api/ps").json()["models"]
        assert (running["name"], running["size"]) == ("own", size)
    finally:
        server.stop()
