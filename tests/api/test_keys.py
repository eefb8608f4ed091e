"""Keys: three headers, one answer to wrong ones, and no open door by accident."""

import subprocess

import pytest
from wire import LIMIT_S, QUERN

KEY = "sk-test-1"


@pytest.fixture
def locked(serve, tmp_path):
    keys = tmp_path / "keys.txt"
    keys.write_text("# of the team\n\n  sk-test-2  \n")
    return serve([{"text": "in"}], "--api-key", KEY, "--api-key-file", keys)


def chat(server, **headers):
    body = {"model": "demo", "messages": [{"role": "user", "content": "x"}]}
    return server.post("/v1/chat/completions", body, {k.replace("_", "-"): v for k, v in headers.items()})


@pytest.mark.parametrize("headers", [
    {"authorization": f"Bearer {KEY}"},
    {"authorization": f"bearer {KEY}"},
    {"Authorization": f"Bearer   {KEY}  "},
    {"x_api_key": KEY},
    {"api_key": KEY},
    {"X_API_KEY": f" {KEY} "},
    {"authorization": "Bearer sk-test-2"},
    {"authorization": f"Bearer {KEY}", "x_api_key": "wrong"},
    {"x_api_key": KEY, "api_key": "wrong"},
])
def test_right_keys(locked, headers):
    assert chat(locked, **headers).content == "in"


@pytest.mark.parametrize("headers, words", [
    ({}, "No API key"),
    ({"authorization": ""}, "No API key"),
    ({"authorization": "Bearer"}, "No API key"),
    ({"authorization": "Basic c2s="}, "No API key"),
    ({"authorization": "Bearer wrong"}, "Incorrect API key"),
    ({"authorization": f"Bearer {KEY}x"}, "Incorrect API key"),
    ({"authorization": f"Bearer {KEY[:-1]}"}, "Incorrect API key"),
    ({"authorization": "Bearer SK-TEST-1"}, "Incorrect API key"),
    ({"authorization": "Bearer # of the team"}, "Incorrect API key"),
    ({"x_api_key": "wrong"}, "Incorrect API key"),
    ({"api_key": "wrong"}, "Incorrect API key"),
    ({"authorization": "Bearer wrong", "x_api_key": KEY}, "Incorrect API key"),
    ({"x_api_key": "k" * 20_000}, "Incorrect API key"),
])
def test_wrong_keys(locked, headers, words):
    answer = chat(locked, **headers)
    assert answer.status == 401
    assert words in answer.error["message"] and answer.error["code"] == "invalid_api_key"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert KEY not in answer.text and "sk-test-2" not in answer.text


def test_what_is_open(locked):
    assert locked.get("/health").status == 200
    assert locked.request("OPTIONS", "/v1/chat/completions").status == 204
    for path in ("/v1/models", "/v1/models/demo", "/metrics"):
        assert locked.get(path).status == 401
        assert locked.get(path, {"x-api-key": KEY}).status == 200
    assert locked.post("/v1/completions", {"model": "demo", "prompt": "x"}).status == 401
    # Nothing of a body is looked at before the key.
    assert locked.post("/v1/chat/completions", b"oops").status == 401


def test_without_keys_everything_is_open(scripted):
    assert scripted.chat().status == 200
    assert chat(scripted, authorization="Bearer whatever").status == 200


def start(tmp_path, *args):
    script = tmp_path / "script.json"
    script.write_text('{"rules":[{"text":"x"}]}')
    return subprocess.run(
        [QUERN, "serve", "--script", script, *args], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


def test_beyond_loopback_needs_a_key(tmp_path):
    for host in ("0.0.0.0", "[::]"):
        done = start(tmp_path, "--listen", f"{host}:0")
        assert done.returncode == 1 and "listening" not in done.stdout
        assert "no API key" in done.stderr and "--api-key" in done.stderr and "--insecure" in done.stderr


def test_an_empty_key_file_opens_nothing(tmp_path):
    keys = tmp_path / "keys.txt"
    keys.write_text("# none yet\n")
    done = start(tmp_path, "--listen", "127.0.0.1:0", "--api-key-file", keys)
    assert done.returncode == 1 and "holds no key" in done.stderr
