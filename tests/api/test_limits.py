"""Limits hold under load, and at their exact edges."""

import json
from concurrent.futures import ThreadPoolExecutor

from wire import open_stream, wait_until

USER = {"role": "user", "content": "x"}


def test_the_queue_is_bounded(serve):
    server = serve(
        [{"match": "hold", "text": "word ", "repeat": 10_000, "delay_ms": 20}, {"text": "x"}],
        "--max-running", 1, "--max-waiting", 1,
    )
    hold = {"messages": [{"role": "user", "content": "hold"}]}
    running = open_stream(server, "/v1/chat/completions", hold)
    wait_until(lambda: server.metric("quern_generations_running") == 1, "the first runs")
    waiting = open_stream(server, "/v1/chat/completions", hold)
    wait_until(lambda: server.metric("quern_generations_waiting") == 1, "the second waits")
    for stream in (False, True):
        answer = server.chat("hold", stream=stream)
        assert answer.status == 503 and answer.error["code"] == "overloaded"
        assert answer.error["type"] == "server_error" and int(answer.headers["retry-after"]) >= 1
    # Several choices that do not all fit leave nothing behind.
    assert server.chat("hold", n=3).status == 503
    assert server.metric("quern_generations_waiting") == 1
    for s, stream in (running, waiting):
        stream.close()
        s.close()
    wait_until(lambda: server.metric("quern_generations_running") == 0, "both are gone")
    assert server.chat("now").content == "x"


def test_a_time_limit(serve):
    server = serve([{"match": "hang", "text": "a b c", "fault": {"kind": "hang", "at": 1}}, {"text": "x"}],
                   "--time-limit", 2)
    answer = server.chat("hang")
    assert answer.status == 503 and answer.error["code"] == "time_limit_exceeded"
    events = server.chat_events("hang")
    assert events[-2]["error"]["code"] == "time_limit_exceeded"
    assert server.chat("now").content == "x"


def test_the_context_fits_exactly(scripted):
    """2047 prompt tokens leave room for one; 2048 can only be scored."""
    answer = scripted.complete([5] * 2047, max_tokens=100)
    assert answer.status == 200 and answer.json()["usage"]["total_tokens"] <= 2048
    assert scripted.complete([5] * 2048, max_tokens=1).status == 400
    assert scripted.complete([5] * 2048, max_tokens=0, echo=True).status == 200
    error = scripted.complete([5] * 2100, max_tokens=0, echo=True).error
    assert error["code"] == "context_length_exceeded"
    assert error["n_prompt"] == 2100 and error["n_ctx"] == 2048


def test_an_over_long_chat_says_its_numbers(scripted):
    fits = scripted.chat("x " * 900, max_tokens=1).json()["usage"]["prompt_tokens"]
    error = scripted.chat("x " * (900 + 2048)).error
    assert error["code"] == "context_length_exceeded" and error["param"] == "messages"
    assert error["n_ctx"] == 2048 and error["n_prompt"] > fits and error["n_over"] == error["n_prompt"] - 2047
    assert str(error["n_prompt"]) in error["message"]


def test_the_edges_of_what_is_counted(scripted):
    assert scripted.chat(stop=[f"s{i}" for i in range(64)]).status == 200
    assert scripted.chat(logit_bias={str(i): -1 for i in range(1024)}).status == 200
    assert scripted.chat(stop="x" * 4096).status == 200
    assert len(scripted.complete(["x"] * 128).json()["choices"]) == 128
    assert len(scripted.complete("x", n=128).json()["choices"]) == 128
    tools = [{"type": "function", "function": {"name": f"f{i}"}} for i in range(512)]
    assert scripted.chat(tools=tools).error["code"] == "context_length_exceeded", "they are read, and too long"
    deep = {"type": "object"}
    for _ in range(100):
        deep = {"type": "object", "properties": {"a": deep}}
    tool = {"type": "function", "function": {"name": "f", "parameters": deep}}
    assert scripted.chat(tools=[tool]).status in (200, 400)


def test_a_body_of_64_mib_is_read(scripted):
    body = json.dumps({"model": "demo", "messages": [USER]}).encode()
    answer = scripted.post("/v1/chat/completions", body + b" " * ((64 << 20) - len(body)))
    assert answer.status == 200
    answer = scripted.raw(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % ((64 << 20) + 1)
    )
    assert answer.status == 413


def test_arguments_of_any_depth_in_history(scripted):
    """A call's arguments are text of the client; depth bombs in them harm nobody."""
    for arguments in ("[" * 100_000, '{"a":' * 100_000, '{"a":' * 60 + "1" + "}" * 60, '{"a": 1e999}', "\\", "\0"):
        messages = [
            USER,
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": arguments}}]},
            {"role": "tool", "tool_call_id": "c", "content": "r"},
        ]
        assert scripted.chat(messages=messages).status in (200, 400)
    assert scripted.chat().content == "Hello!"


def test_templates_cannot_be_driven_mad(scripted):
    nested = 1
    for _ in range(100):
        nested = [nested]
    for kwargs in ({"a": nested}, {"messages": []}, {"tools": "x"}, {"add_generation_prompt": 5}, {"": 1}, {"x" * 1000: 1}):
        assert scripted.chat(chat_template_kwargs=kwargs).status in (200, 400)
    assert scripted.chat().content == "Hello!"


def test_a_crowd(scripted):
    """Many at once, good and bad: each gets its own answer."""

    def one(i):
        if i % 4 == 0:
            return scripted.chat("a story").choice["finish_reason"] == "stop"
        if i % 4 == 1:
            return scripted.post("/v1/chat/completions", b"oops").status == 400
        if i % 4 == 2:
            return scripted.chat_events("emoji")[-1] == "[DONE]"
        return scripted.complete("x", n=3).status == 200

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(one, range(160)))
