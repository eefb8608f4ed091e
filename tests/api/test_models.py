"""Names, listings, prefixes, and the headers every answer has."""

import re

import pytest
from wire import open_stream

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
PREFIXES = ["/v1", "", "/compatible-mode/v1", "/openai/v1"]


def test_the_list(scripted):
    listing = scripted.get("/v1/models").json()
    ids = [model["id"] for model in listing["data"]]
    assert listing["object"] == "list" and listing["has_more"] is False
    assert ids[0] == "demo" == listing["first_id"] and ids[-1] == listing["last_id"]
    assert {"qwen3-coder-next", "qwen3-coder-plus", "qwen/qwen3-coder-next", "qwen-coder-turbo"} <= set(ids)
    assert len(ids) == len(set(ids))
    for model in listing["data"]:
        assert model["object"] == "model" and model["type"] == "model"
        assert model["max_model_len"] == model["context_length"] == model["meta"]["n_ctx_train"] == 2048
        assert isinstance(model["created"], int) and re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", model["created_at"])


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("slash", ["", "/"])
def test_every_route_under_every_prefix(scripted, prefix, slash):
    assert scripted.get(f"{prefix}/models{slash}").json()["data"]
    assert scripted.get(f"{prefix}/models/demo{slash}").json()["id"] == "demo"
    chat = scripted.chat(path=f"{prefix}/chat/completions{slash}")
    assert chat.content == "Hello!"
    text = scripted.post(f"{prefix}/completions{slash}", {"model": "demo", "prompt": "x"})
    assert text.choice["text"] == "Hello!"


def test_queries_are_ignored(scripted):
    assert scripted.get("/v1/models?beta=true&x=%zz").status == 200
    assert scripted.chat(path="/v1/chat/completions?api-version=2024-06-01").status == 200


@pytest.mark.parametrize("name", ["demo", "DEMO", " Demo ", "qwen3-coder-PLUS", "Qwen/Qwen3-Coder-480B-A35B-Instruct",
                                  "qwen/qwen3-coder-next"])
def test_the_requested_name_is_echoed(scripted, name):
    assert scripted.chat(model=name).json()["model"] == name
    events = scripted.chat_events(model=name)
    assert {event["model"] for event in events[:-1]} == {name}


@pytest.mark.parametrize("name", ["demo", "DEMO", "qwen/qwen3-coder-next", "qwen%2Fqwen3-coder-next",
                                  "qwen%2fqwen3-coder-next", "%64emo"])
def test_one_model(scripted, name):
    answer = scripted.get(f"/v1/models/{name}")
    assert answer.status == 200
    assert answer.json()["id"].lower() == name.lower().replace("%2f", "/").replace("%64", "d")


def test_aliases(serve):
    server = serve([{"text": "x"}], "--alias", "my-model", "--alias", "team/other", "--own-name-only")
    assert [m["id"] for m in server.get("/v1/models").json()["data"]] == ["demo", "my-model", "team/other"]
    assert server.chat(model="My-Model").json()["model"] == "My-Model"
    assert server.chat(model="team/other").status == 200
    assert server.chat(model="qwen3-coder-plus").status == 404
    assert server.chat(model="gpt-5").status == 404


def test_catch_all(serve):
    server = serve([{"text": "x"}], "--catch-all")
    for name in ("gpt-5", "claude-sonnet-4-5", "Claude-Opus"):
        assert server.chat(model=name).json()["model"] == name
    assert server.chat(model="llama").status == 404


def test_doubled_v1_says_so(scripted):
    for path in ("/v1/v1/models", "/openai/v1/v1/chat/completions", "/compatible-mode/v1/v1/models/"):
        answer = scripted.get(path)
        assert answer.status == 404 and "'/v1' occurs twice" in answer.error["message"]


def test_nothing_redirects(scripted):
    for path in ("/v1", "/v1/", "/v1/models/", "//", "/V1/models", "/health/", "/"):
        assert scripted.get(path).status in (200, 404)


def test_request_ids(scripted):
    seen = set()
    for answer in (scripted.chat(), scripted.get("/v1/models"), scripted.get("/nothing"), scripted.chat(model="no")):
        assert UUID.match(answer.headers["x-request-id"])
        assert answer.headers["openai-processing-ms"].isdigit() and answer.headers["server"].startswith("quern/")
        seen.add(answer.headers["x-request-id"])
    assert len(seen) == 4
    ids = {scripted.chat().json()["id"] for _ in range(3)}
    assert len(ids) == 3 and all(UUID.match(i.removeprefix("chatcmpl-")) for i in ids)


def test_shapes_differ_by_prefix(scripted):
    assert scripted.chat().json()["service_tier"] == "default"
    assert scripted.chat(path="/compatible-mode/v1/chat/completions").json()["service_tier"] is None


def test_preflight(scripted):
    for path in ("/v1/chat/completions", "/v1/models", "/anything"):
        answer = scripted.request("OPTIONS", path, headers={"origin": "http://x", "access-control-request-method": "POST"})
        assert answer.status == 204 and answer.body == b""
        assert answer.headers["access-control-allow-origin"] == "*"
        for name in ("*", "authorization", "x-api-key", "anthropic-version", "anthropic-beta", "content-type"):
            assert name in answer.headers["access-control-allow-headers"]
        assert "POST" in answer.headers["access-control-allow-methods"]


def test_cors_on_every_answer(scripted):
    for answer in (scripted.chat(), scripted.get("/nothing"), scripted.chat(model="no")):
        assert answer.headers["access-control-allow-origin"] == "*"


def test_cors_of_one_origin_and_none(serve):
    server = serve([{"text": "x"}], "--cors-origin", "https://a.example")
    assert server.chat().headers["access-control-allow-origin"] == "https://a.example"
    assert server.chat().headers["vary"] == "origin"
    server = serve([{"text": "x"}], "--cors-origin", "")
    assert "access-control-allow-origin" not in server.chat().headers
    assert "access-control-allow-headers" not in server.request("OPTIONS", "/v1/models").headers


def test_head(scripted):
    answer = scripted.request("HEAD", "/v1/models")
    assert answer.status == 200 and answer.body == b"" and int(answer.headers["content-length"]) > 100


def test_health_and_root(scripted):
    assert scripted.get("/health").json() == {"status": "ok"}
    assert scripted.get("/v1/health").json() == {"status": "ok"}
    assert scripted.get("/").status == 200


def test_metrics(scripted):
    answer = scripted.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    before = scripted.metric("quern_requests_total", route="chat.completions", status="200")
    tokens = scripted.metric("quern_tokens_total", route="chat.completions", kind="generated")
    n = scripted.chat().json()["usage"]["completion_tokens"]
    assert scripted.metric("quern_requests_total", route="chat.completions", status="200") == before + 1
    assert scripted.metric("quern_tokens_total", route="chat.completions", kind="generated") == tokens + n
    bad = scripted.metric("quern_requests_total", status="400")
    scripted.post("/v1/completions", b"oops")
    assert scripted.metric("quern_requests_total", status="400") == bad + 1
    for line in answer.text.splitlines():
        assert line.startswith("#") or re.match(r"[a-z_]+(\{[^}]*\})? \S+$", line), line


def test_metrics_count_a_running_request(scripted):
    s, stream = open_stream(scripted, "/v1/chat/completions", {"messages": [{"role": "user", "content": "long wait"}]})
    assert scripted.metric("quern_requests_active") == 2, "it and this one"
    stream.close()
    s.close()
