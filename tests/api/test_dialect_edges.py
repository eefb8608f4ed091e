"""The edges of every dialect: whatever is wrong with a request, the answer is an error in the shape of its dialect that
says what to do, and whatever is only unusual is answered."""

import gzip
import http.client
import json
import zlib

import pytest
from dialects import DIALECTS
from wire import parse_answer, wait_until

OVER_MAX_BODY = 64 * 1024 * 1024 + 1
BOMB = gzip.compress(b" " * OVER_MAX_BODY, 1)


@pytest.fixture(params=DIALECTS, ids=lambda dialect: dialect.name)
def dialect(request):
    return request.param


def refused(dialect, answer, status, *words):
    message, code = dialect.read_error(answer)
    assert answer.status == status, (answer.status, message)
    for word in words:
        assert word in message, message
    assert 10 < len(message) < 600 and "\n" not in message
    return code


# ---- what is wrong ----


def test_a_prompt_that_is_too_long(scripted, dialect):
    code = refused(dialect, dialect.post(scripted, dialect.body("x y z " * 2000)), 400, "tokens")
    assert code in (None, "context_length_exceeded", "InvalidParameter", "invalid_request_error")


def test_a_prompt_that_is_too_long_is_no_stream(scripted, dialect):
    answer = dialect.post(scripted, dialect.body("x y z " * 2000, stream=True), stream=True)
    refused(dialect, answer, 400)


@pytest.mark.parametrize("name", ["no-such-model", "é" * 500, "../../etc/passwd"], ids=["plain", "long", "path"])
def test_an_unknown_model(scripted, dialect, name):
    if dialect.model_in_path:
        answer = scripted.post("/v1/qwen3-coder-" + "x", dialect.body())
        assert answer.status == 404 and "error" in answer.json()
        return
    refused(dialect, dialect.post(scripted, {**dialect.body(), "model": name}), 404, name[:20])


def test_no_model(scripted, dialect):
    body = {key: value for key, value in dialect.body().items() if key != "model"}
    if dialect.model_in_path or dialect.model_optional:
        dialect.read(dialect.post(scripted, body))
    else:
        refused(dialect, dialect.post(scripted, body), 400, "model")


@pytest.mark.parametrize("value", ["5", [5], {"n": 5}, 2.5, 1e300], ids=str)
def test_a_limit_of_tokens_of_another_kind(scripted, dialect, value):
    body = dialect.body()
    dialect.max_tokens(body, value)
    refused(dialect, dialect.post(scripted, body), 400)


@pytest.mark.parametrize("field", ["stream", "model"])
@pytest.mark.parametrize("value", [[], {}, 1.5], ids=str)
def test_fields_of_another_kind(scripted, dialect, field, value):
    if field == "stream" and dialect.name == "dashscope" or field == "model" and dialect.model_in_path:
        return  # no such field: it is ignored like any that is unknown
    refused(dialect, dialect.post(scripted, {**dialect.body(), field: value}), 400, field)


BROKEN = {
    "nothing": b"",
    "half": b'{"model": "demo", ',
    "no object": b"[1, 2]",
    "a word": b"hello",
    "NaN": b'{"model": NaN}',
    "bad UTF-8": b'{"model": "\xff\xfe"}',
    "deep": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "two values": b"{} {}",
}


@pytest.mark.parametrize("name", BROKEN)
def test_bodies_that_are_no_json(scripted, dialect, name):
    refused(dialect, dialect.post(scripted, BROKEN[name], {"content-type": "application/json"}), 400)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
                                  "application/json; charset=latin-1"])
def test_content_types_that_are_not_ours(scripted, dialect, kind):
    data = json.dumps(dialect.body()).encode()
    refused(dialect, dialect.post(scripted, data, {"content-type": kind}), 400)


def raw_post(dialect, n_body, *lines):
    head = [f"POST {dialect.path} HTTP/1.1", "host: a", f"content-length: {n_body}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n"


def test_a_huge_body(scripted, dialect):
    answer = scripted.raw(raw_post(dialect, OVER_MAX_BODY))
    refused(dialect, answer, 413, "max_body_bytes")


def test_a_body_that_inflates_without_end(scripted, dialect):
    refused(dialect, dialect.post(scripted, BOMB, {"content-encoding": "gzip"}), 413, "max_inflated_bytes")


def test_an_unknown_coding(scripted, dialect):
    data = json.dumps(dialect.body()).encode()
    refused(dialect, dialect.post(scripted, data, {"content-encoding": "br"}), 415, "br")


def test_a_coding_that_is_not_what_it_says(scripted, dialect):
    data = json.dumps(dialect.body()).encode()
    refused(dialect, dialect.post(scripted, data, {"content-encoding": "gzip"}), 400)


def test_half_a_body(scripted, dialect):
    answer = scripted.raw(raw_post(dialect, 1000) + b'{"mod', half_close=True)
    refused(dialect, answer, 400, "ended before")


def test_an_expectation_that_cannot_be_met(scripted, dialect):
    refused(dialect, scripted.raw(raw_post(dialect, 2, "expect: miracles") + b"{}"), 417, "100-continue")


def test_a_slow_writer(serve, dialect):
    server = serve([{"text": "x"}], "--body-idle-timeout", 1)
    refused(dialect, server.raw(raw_post(dialect, 1000) + b"{"), 408, "body_idle_timeout")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods(scripted, dialect, method):
    if dialect.listed and method == "GET":
        assert scripted.get(dialect.path).json()["object"] == "list"
        return
    answer = scripted.request(method, dialect.path)
    refused(dialect, answer, 405, method)
    assert set(answer.headers["allow"].split(", ")) >= {"POST", "OPTIONS"}


def test_a_wrong_key(serve, dialect):
    server = serve([{"text": "in"}], "--api-key", "sk-right")
    refused(dialect, dialect.post(server, dialect.body()), 401, "No API key")
    refused(dialect, dialect.post(server, dialect.body(), {"authorization": "Bearer sk-wrong"}), 401, "Incorrect")
    dialect.read(dialect.post(server, dialect.body(), {"authorization": "Bearer sk-right"}))


@pytest.mark.parametrize("stream", [False, True])
def test_a_full_queue_says_when_to_come_back(scripted, dialect, stream):
    if "infill" in dialect.name:
        return  # asked by a text beside which the script's markers stand
    answer = dialect.post(scripted, dialect.body("be busy", stream=stream), stream=stream)
    refused(dialect, answer, dialect.busy_status, "queue is full")
    assert int(answer.headers["retry-after"]) >= 1 and int(answer.headers["retry-after-ms"]) >= 1


def test_a_fault_of_the_engine(scripted, dialect):
    refused(dialect, dialect.post(scripted, dialect.body("fail later")), 500, "disk on fire")


# ---- what is only unusual ----


def test_null_is_absent(scripted, dialect):
    body = {**dialect.body(), **dict.fromkeys(["temperature", "top_p", "seed", "stop", "tools", "user", "n"])}
    assert dialect.read(dialect.post(scripted, body)) == dialect.answer(scripted)


def test_a_whole_number_with_a_point(scripted, dialect):
    counts = []
    for value in (3, 3.0):
        body = dialect.body("go on")
        dialect.max_tokens(body, value)
        counts.append(dialect.read(dialect.post(scripted, body)))
    assert counts[0] == counts[1]


def test_unknown_fields(scripted, dialect):
    body = {**dialect.body(), "no_such_field": {"deep": [1, {"a": None}]}, "another": "x" * 10_000}
    assert dialect.read(dialect.post(scripted, body)) == dialect.answer(scripted)


@pytest.mark.parametrize("headers", [{}, {"content-type": ""}, {"content-type": "application/json; charset=UTF-8"},
                                     {"content-type": "Application/JSON"}], ids=str)
def test_content_types_that_are(scripted, dialect, headers):
    data = json.dumps(dialect.body()).encode()
    assert dialect.read(dialect.post(scripted, data, headers)) == dialect.answer(scripted)


def test_compressed_bodies(scripted, dialect):
    data = json.dumps(dialect.body()).encode()
    for coding, packed in (("gzip", gzip.compress(data)), ("deflate", zlib.compress(data)), ("x-gzip", gzip.compress(data))):
        answer = dialect.post(scripted, packed, {"content-encoding": coding, "content-type": "application/json"})
        assert dialect.read(answer) == dialect.answer(scripted)


def test_expect_continue(scripted, dialect):
    data = json.dumps(dialect.body()).encode()
    with scripted.socket() as s:
        s.sendall(raw_post(dialect, len(data), "content-type: application/json", "expect: 100-continue", "connection: close"))
        stream = s.makefile("rb")
        assert stream.readline() == b"HTTP/1.1 100 Continue\r\n" and stream.readline() == b"\r\n"
        s.sendall(data)
        assert dialect.read(parse_answer(stream.read())) == dialect.answer(scripted)
        stream.close()


def test_a_head_probe_has_no_body(scripted, dialect):
    with scripted.socket() as s:
        s.sendall(f"HEAD {dialect.path} HTTP/1.1\r\nhost: a\r\n\r\nGET /health HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        stream = s.makefile("rb")
        assert stream.readline().split()[1] == (b"200" if dialect.listed else b"405")
        while stream.readline() != b"\r\n":
            pass
        assert stream.readline().split()[1] == b"200"
        stream.close()


def test_a_browser_asks_first(scripted, dialect):
    """CORS: any page may read answers that need no credentials of the browser's; none may use these."""
    headers = {"origin": "https://page.example", "access-control-request-method": "POST",
               "access-control-request-headers": "authorization, content-type, x-api-key"}
    asked = scripted.request("OPTIONS", dialect.path, headers=headers)
    assert asked.status == 204 and asked.body == b""
    assert asked.headers["access-control-allow-origin"] == "*"
    assert {"authorization", "content-type", "x-api-key"} <= set(asked.headers["access-control-allow-headers"].split(", "))
    answered = dialect.post(scripted, dialect.body(), {"origin": "https://page.example", "cookie": "a=b"})
    for answer in (asked, answered, dialect.post(scripted, b"oops")):
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["access-control-allow-origin"] == "*"


def test_one_named_origin_is_not_every_origin(serve, dialect):
    server = serve([{"text": "x"}], "--cors-origin", "https://a.example")
    answer = dialect.post(server, dialect.body(), {"origin": "https://b.example"})
    assert answer.headers["access-control-allow-origin"] == "https://a.example" and answer.headers["vary"] == "origin"
    assert "access-control-allow-credentials" not in answer.headers
    server = serve([{"text": "x"}], "--cors-origin", "")
    assert not [name for name in dialect.post(server, dialect.body()).headers if name.startswith("access-control")]


def test_a_trailing_slash_is_no_redirect(scripted, dialect):
    assert dialect.read(scripted.post(dialect.path + "/", dialect.body())) == dialect.answer(scripted)


def test_a_stream_says_what_the_whole_says(scripted, dialect):
    for content in ("hello", "emoji", "story", "say nothing"):
        assert dialect.answer(scripted, content, stream=True) == dialect.answer(scripted, content)


def test_a_slow_reader_gets_everything(serve, dialect):
    """It begins to read when the model is done."""
    server = serve([{"text": "many words come quickly ", "repeat": 300}])
    data = json.dumps(dialect.body(stream=True)).encode()
    more = ["content-type: application/json", "x-dashscope-sse: enable", "connection: close"]
    with server.socket() as s:
        s.sendall(raw_post(dialect, len(data), *more) + data)
        wait_until(lambda: server.metric("quern_engine_finished_total") == 1, "the model is done")
        response = http.client.HTTPResponse(s)
        response.begin()
        assert response.status == 200
        assert dialect.stream(response.read())[0] == "many words come quickly " * 300


def test_the_server_is_well(scripted):
    assert scripted.is_well()
    assert scripted.metric("quern_generations_running") == 0
