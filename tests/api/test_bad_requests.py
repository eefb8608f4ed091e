"""Every malformed request gets one clear sentence with the right status, and the server goes on."""

import http.client

import bad_requests
import pytest
from wire import LIMIT_S, wait_until

ROWS = list(bad_requests.rows())
RAW = list(bad_requests.raw_rows())


def check_error(answer, status, code, words):
    assert answer.status == status, answer.text[:500]
    assert answer.headers["content-type"] == "application/json"
    error = answer.error
    assert set(error) >= {"message", "type", "param", "code"}
    assert isinstance(error["message"], str) and error["type"] == "invalid_request_error"
    assert error["code"] == code, error
    for fragment in [words] if isinstance(words, str) else words:
        assert fragment in error["message"], error
    message = error["message"]
    assert len(message) < 600 and "\n" not in message, "one sentence, not the request again"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    return error


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_bad_request(scripted, row):
    answer = scripted.request(row.method, row.path, row.body, row.headers)
    error = check_error(answer, row.status, row.code, row.words)
    if row.param is not bad_requests.NO:
        assert error["param"] == row.param
    if row.status == 405:
        assert "OPTIONS" in answer.headers["allow"]


@pytest.mark.parametrize("row", RAW, ids=lambda row: row.name)
def test_bad_bytes(scripted, row):
    answer = scripted.raw(row.data, row.half_close)
    assert answer is not None, "the connection closed without a word"
    check_error(answer, row.status, row.code, row.words)
    assert answer.headers["connection"] == "close"


def test_there_are_many_rows():
    assert len(ROWS) + len(RAW) >= 150
    assert len({row.name for row in ROWS + RAW}) == len(ROWS) + len(RAW)


def test_the_server_still_answers(scripted):
    assert scripted.is_well()
    assert scripted.chat().content == "Hello!"
    wait_until(lambda: scripted.metric("quern_generations_running") == 0, "no refused request leaves a generation behind")


def test_a_bad_request_keeps_the_connection(scripted):
    connection = http.client.HTTPConnection("127.0.0.1", scripted.port, timeout=LIMIT_S)
    assert scripted.request("POST", "/v1/chat/completions", b"oops", connection=connection).status == 400
    assert scripted.request("GET", "/health", connection=connection).status == 200
    connection.close()


@pytest.mark.parametrize(
    "body",
    [
        {"stream": None, "stop": None, "tools": None, "seed": None, "max_tokens": None, "logit_bias": None},
        {"max_tokens": 5.0, "n": 1.0, "temperature": 1, "seed": 7.0},
        {"max_tokens": -1},
        {"max_tokens": 10_000_000},
        {"temperature": 2, "top_p": 0, "top_k": -1},
        {"stream_options": {"include_usage": True}},
        {"stream_options": {"include_obfuscation": False}, "stream": False},
        {"no_such_field": {"deep": [1, 2, 3]}, "web_search_options": {}, "service_tier": "auto"},
        {"metadata": {"sessionId": "a"}, "user": "u", "store": False, "reasoning_effort": "high"},
        {"tools": [], "tool_choice": "auto"},
        {"tools": [{"type": "custom", "custom": {"name": "x"}}]},
        {"response_format": {"type": "text"}, "modalities": ["text"]},
        {"stop": ["a"] * 16, "stop_token_ids": []},
        {"enable_thinking": False, "thinking_budget": 5},
        {"functions": [{"name": "f"}]},
    ],
    ids=lambda body: ",".join(body)[:60],
)
def test_what_is_unusual_but_right(scripted, body):
    answer = scripted.post("/v1/chat/completions", {"model": "demo", "messages": [bad_requests.USER], **body})
    assert answer.status == 200, answer.text


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "s"}],
        [{"role": "developer", "content": "s"}, bad_requests.USER],
        [bad_requests.USER, {"role": "system", "content": "later"}],
        [bad_requests.USER, bad_requests.USER],
        [bad_requests.USER, {"role": "assistant", "content": "done"}],
        [bad_requests.USER, {"role": "assistant", "content": None, "refusal": None, "reasoning_content": "hm"}],
        [{"role": "user", "content": ["a", {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}]}],
        [{"role": "user", "content": []}],
        [{"role": "assistant", "content": None, "tool_calls": [bad_requests.CALL]},
         {"role": "tool", "tool_call_id": "c1", "content": None}],
        [{"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{\"cut"}}]},
         {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "r"}]}],
        [{"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"a": 1}}}]}],
        [{"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
         {"role": "function", "name": "f", "content": "r"}],
        [{"role": "user", "content": ""}],
    ],
)
def test_unusual_conversations(scripted, messages):
    assert scripted.chat(messages=messages).status == 200


def test_bodies_without_a_type_and_with_a_mark(scripted):
    data = b'\xef\xbb\xbf{"model":"demo","messages":[{"role":"user","content":"x"}]}'
    assert scripted.post("/v1/chat/completions", data).status == 200
    for kind in ["application/json; charset=utf-8", "application/json;charset=UTF-8", "application/vnd.a+json"]:
        assert scripted.post("/v1/chat/completions", data, {"content-type": kind}).status == 200
