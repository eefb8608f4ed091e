"""Anthropic Messages on the wire: whole and streamed, tools, counts, errors, on every prefix."""

import json
import re

import answers
import pytest
from wire import open_stream, read_named_events, wait_until

PREFIXES = ["", "/anthropic", "/apps/anthropic"]
TOOLS = [
    {
        "name": "get_weather",
        "description": "Weather of a city",
        "input_schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
    {
        "name": "write_file",
        "input_schema": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
        },
        "cache_control": {"type": "ephemeral", "ttl": "1h"},
    },
]


def body_of(content="hello", **fields):
    body = {"model": "demo", "max_tokens": 900, "temperature": 0, **fields}
    body.setdefault("messages", [{"role": "user", "content": content}])
    return body


def ask(server, content="hello", *, path="/v1/messages", **fields):
    return server.post(path, body_of(content, **fields))


def stream(server, content="hello", **fields):
    answer = ask(server, content, stream=True, **fields)
    assert answer.status == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    return read_named_events(answer.body)


def put_together(events):
    """The message that a client makes of a stream; fails where the order of blocks is not kept."""
    assert [event["type"] for event in events[:2]] == ["message_start", "ping"]
    assert events[-1] == {"type": "message_stop"} and events[-2]["type"] == "message_delta"
    message = events[0]["message"]
    assert message["content"] == [] and message["stop_reason"] is None and message["usage"]["output_tokens"] == 1
    texts = []
    for event in events[2:-2]:
        if event["type"] == "ping":
            continue
        if event["type"] == "content_block_start":
            assert event["index"] == len(texts)
            block = event["content_block"]
            assert block in ({"type": "text", "text": ""}, {**block, "type": "tool_use", "input": {}})
            message["content"].append(block)
            texts.append([])
        elif event["type"] == "content_block_delta":
            assert event["index"] == len(texts) - 1 and texts[-1] is not None, "only the open block grows"
            kind, key = {"text": ("text_delta", "text"), "tool_use": ("input_json_delta", "partial_json")}[block["type"]]
            assert set(event["delta"]) == {"type", key} and event["delta"]["type"] == kind
            texts[-1].append(event["delta"][key])
        else:
            assert event == {"type": "content_block_stop", "index": len(texts) - 1}
            text = "".join(texts[-1])
            texts[-1] = None
            block.update({"text": text} if block["type"] == "text" else {"input": json.loads(text)})
    assert all(text is None for text in texts), "every block is closed"
    message.update(events[-2]["delta"])
    message["usage"].update(events[-2]["usage"])
    message.update({key: value for key, value in events[-2].items() if key == "warnings"})
    return message


def without_ids(message):
    blocks = [{key: value for key, value in block.items() if key != "id"} for block in message["content"]]
    return {**message, "content": blocks, "id": None}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_whole_message(scripted, prefix):
    answer = ask(scripted, path=prefix + "/v1/messages?beta=true")
    assert answer.status == 200 and re.fullmatch("req_[0-9a-f]{24}", answer.headers["request-id"])
    message = answer.json()
    assert re.fullmatch("msg_[0-9a-f]{24}", message.pop("id"))
    usage = message.pop("usage")
    assert message == {
        "type": "message",
        "role": "assistant",
        "model": "demo",
        "content": [{"type": "text", "text": "Hello!"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
    }
    assert usage["input_tokens"] > 0 and usage["output_tokens"] > 0
    assert usage["cache_creation_input_tokens"] == usage["cache_read_input_tokens"] == 0


@pytest.mark.parametrize("content", ["hello", "one call", "words and call", "two calls", "write it", "emoji", "say nothing"])
def test_a_stream_says_what_the_whole_message_says(scripted, content):
    whole = ask(scripted, content, tools=TOOLS).json()
    assert without_ids(put_together(stream(scripted, content, tools=TOOLS))) == without_ids(whole)
    assert all(block["type"] != "text" or block["text"] for block in whole["content"]), "no empty block"


def test_tool_use(scripted):
    message = ask(scripted, "words and call", tools=TOOLS).json()
    text, call = message["content"]
    assert text["text"].startswith("Let me look.")
    assert re.fullmatch("toolu_[0-9a-f]{24}", call.pop("id"))
    assert call == {"type": "tool_use", "name": "get_weather", "input": {"city": "Oslo", "days": 3}}
    assert message["stop_reason"] == "tool_use"
    both = ask(scripted, "two calls", tools=TOOLS).json()["content"]
    assert [block["name"] for block in both] == ["get_weather", "write_file"]
    assert both[1]["input"] == {"path": "greet.py", "content": answers.CODE}
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    assert len(ask(scripted, "two calls", tools=TOOLS, tool_choice=choice).json()["content"]) == 1


@pytest.mark.parametrize("n", range(1, 60, 7))
def test_a_call_cut_by_max_tokens(scripted, n):
    whole = ask(scripted, "cut call", tools=TOOLS, max_tokens=n).json()
    assert whole["stop_reason"] == "max_tokens" and whole["usage"]["output_tokens"] == n
    assert without_ids(put_together(stream(scripted, "cut call", tools=TOOLS, max_tokens=n))) == without_ids(whole)


def test_the_tool_loop_reaches_the_model(serve):
    server = serve(
        [
            {"match": ["<parameter=city>\nOslo\n</parameter>", "<tool_response>\nError: no snow[image]\n</tool_response>"],
             "text": "It rains."},
            {"text": answers.CITY_CALL},
        ]
    )
    messages = [{"role": "user", "content": [{"type": "text", "text": "Weather?"}]}]
    message = ask(server, messages=messages, tools=TOOLS).json()
    (call,) = message["content"]
    result = {
        "type": "tool_result",
        "tool_use_id": call["id"],
        "is_error": True,
        "content": [{"type": "text", "text": "no snow"}, {"type": "image", "source": {"type": "base64", "data": ""}}],
    }
    messages += [{"role": "assistant", "content": message["content"]}, {"role": "user", "content": [result]}]
    answer = ask(server, messages=messages, tools=TOOLS).json()
    assert answer["content"] == [{"type": "text", "text": "It rains."}] and answer["stop_reason"] == "end_turn"


def test_stop_sequences(scripted):
    answer = ask(scripted, "story", stop_sequences=["never", "STOP"]).json()
    assert answer["stop_reason"] == "stop_sequence" and answer["stop_sequence"] == "STOP"
    assert answer["content"] == [{"type": "text", "text": answers.STORY.partition("STOP")[0]}]
    events = stream(scripted, "story", stop_sequences=["never", "STOP"])
    assert without_ids(put_together(events)) == without_ids(answer)


def test_prefill_is_continued(serve):
    server = serve([{"match": "<|im_start|>assistant\nThe number is", "text": " 42."}, {"text": "no"}])
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "The number is"}]
    assert ask(server, messages=messages).json()["content"] == [{"type": "text", "text": " 42."}]


def test_system_in_any_place(serve):
    server = serve(
        [{"match": ["<|im_start|>system\nbe brief.<|im_end|>", "<|im_start|>system\nlater<|im_end|>"], "text": "both"},
         {"text": "no"}]
    )
    billing = {"type": "text", "text": "x-anthropic-billing-header: cc_version=1; cch=7"}
    system = [billing, {"type": "text", "text": "be brief.", "cache_control": {"type": "ephemeral"}}]
    for later in ("later", [{"type": "text", "text": "later"}]):
        messages = [{"role": "user", "content": "x"}, {"role": "system", "content": later}]
        assert ask(server, messages=messages, system=system).json()["content"][0]["text"] == "both"


@pytest.mark.parametrize("prefix", PREFIXES)
def test_count_tokens(scripted, prefix):
    body = {"model": "demo", "system": "s", "tools": TOOLS, "messages": [{"role": "user", "content": "hello"}]}
    count = scripted.post(prefix + "/v1/messages/count_tokens?beta=true", body)
    assert count.status == 200 and set(count.json()) == {"input_tokens"}
    usage = scripted.post(prefix + "/v1/messages", {**body, "max_tokens": 5}).json()["usage"]
    assert count.json()["input_tokens"] == usage["input_tokens"] + usage["cache_read_input_tokens"]


def test_the_cached_part_of_the_prompt_is_told_apart(serve):
    server = serve([{"text": "x", "cached": 7}])
    n = server.post("/v1/messages/count_tokens", body_of()).json()["input_tokens"]
    for usage in (ask(server).json()["usage"], stream(server)[-2]["usage"]):
        assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (n - 7, 7)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_models(scripted, prefix):
    listed = scripted.get(prefix + "/v1/models?limit=1000").json()
    assert listed["has_more"] is False and listed["first_id"] == listed["data"][0]["id"]
    assert {"type", "id", "display_name", "created_at"} <= set(listed["data"][0])
    assert scripted.get(prefix + "/v1/models/demo").json()["type"] == "model"
    assert scripted.get(prefix + "/v1/models/qwen/qwen3-coder-next").json()["id"] == "qwen/qwen3-coder-next"
    missing = scripted.get(prefix + "/v1/models/none")
    assert missing.status == 404 and ("type" in missing.json()) == bool(prefix)


def test_what_claude_code_sends(scripted):
    """Fields, headers and markers of recorded requests; none of them may matter."""
    body = body_of(
        stream=True,
        thinking={"type": "adaptive", "display": "omitted"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        output_config={"effort": "high"},
        metadata={"user_id": "{\"device_id\":\"x\",\"session_id\":\"y\"}"},
        tools=[*({**tool, "defer_loading": True, "eager_input_streaming": True} for tool in TOOLS),
               {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}],
        system=[{"type": "text", "text": part, "cache_control": {"type": "ephemeral"}} for part in "abcde"],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "hello", "cache_control": {"type": "ephemeral"}}]},
            {"role": "system", "content": [{"type": "text", "text": "# Environment"}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "", "signature": "c2ln"},
                                              {"type": "redacted_thinking", "data": "x"}]},
            {"role": "user", "content": "hello"},
        ],
    )
    headers = {
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "claude-code-20250219,no-such-beta-1,context-1m",
        "anthropic-dangerous-direct-browser-access": "true",
        "x-claude-code-session-id": "s",
        "authorization": "Bearer k",
    }
    answer = scripted.post("/v1/messages?beta=true", body, headers)
    assert answer.status == 200, answer.text
    assert put_together(read_named_events(answer.body))["content"] == [{"type": "text", "text": "Hello!"}]


def test_pings_while_nothing_comes(scripted):
    s, lines = open_stream(scripted, "/v1/messages", body_of("long wait"))
    seen = []
    while seen.count("ping") < 2:
        line = lines.readline().decode()
        assert line, "the stream ended"
        if line.startswith("event: "):
            seen.append(line[len("event: ") : -1])
    assert seen == ["message_start", "ping", "ping"]
    lines.close()
    s.close()
    wait_until(lambda: scripted.metric("quern_generations_running") == 0, "the generation of a gone client ends")


# ---- errors ----

USER = {"role": "user", "content": "x"}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x"}}
USE = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}


def row(name, words, kind="invalid_request_error", status=400, **fields):
    return pytest.param(words, kind, status, {"model": "demo", "max_tokens": 5, "messages": [USER], **fields}, id=name)


def said(name, words, content):
    return row(name, words, messages=[USER, USE, {"role": "user", "content": content}])


ROWS = [
    row("unknown model", "'none' does not exist", "not_found_error", 404, model="none"),
    row("no model", "model parameter", model=None),
    row("no messages", "'messages'", messages=None),
    row("messages empty", "at least one message is required", messages=[]),
    row("messages of text", "'messages'", messages="hi"),
    row("message of text", "'messages.0'", messages=["hi"]),
    row("no role", "'messages.0.role'", messages=[{"content": "x"}]),
    row("unknown role", "'tool' is not one of", messages=[{"role": "tool", "content": "x"}]),
    row("no content", "'messages.1.content'", messages=[USER, {"role": "user"}]),
    row("content of a number", "'messages.0.content'", messages=[{"role": "user", "content": 5}]),
    row("20001 messages", "max_messages", messages=[USER] * 20001),
    said("block of text", "'messages.2.content.0'", ["x"]),
    said("block without type", "'messages.2.content.0.type'", [{"text": "x"}]),
    said("text of a number", "'messages.2.content.1.text'", [{"type": "text", "text": "a"}, {"type": "text", "text": 1}]),
    said("an image", "messages.2.content.0: content blocks of type 'image'", [IMAGE]),
    said("a document without source", "'messages.2.content.0.source'", [{"type": "document"}]),
    said("a PDF", "documents of type 'base64'", [{"type": "document", "source": {"type": "base64"}}]),
    said("4097 blocks", "max_content_parts", [{"type": "text", "text": "x"}] * 4097),
    said("result without id", "'messages.2.content.0.tool_use_id'", [{"type": "tool_result"}]),
    said(
        "result of no call",
        "messages.2.content.0: unexpected tool_use_id found in tool_result blocks: toolu_x",
        [{"type": "tool_result", "tool_use_id": "toolu_x"}],
    ),
    said("is_error of text", "is_error'", [{"type": "tool_result", "tool_use_id": "t", "is_error": "yes"}]),
    row("call without name", "'messages.0.content.0.name'",
        messages=[{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "input": {}}]}]),
    row("input of a number", "'messages.0.content.0.input'",
        messages=[{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": 3}]}]),
    row("system of a number", "'system'", system=7),
    row("system block without text", "'system.0.text'", system=[{"type": "text"}]),
    row("max_tokens 0", "'max_tokens'", max_tokens=0),
    row("max_tokens of text", "'max_tokens'", max_tokens="5"),
    row("stream of text", "'stream'", stream="true"),
    row("temperature 3", "'temperature'", temperature=3),
    row("top_k of text", "'top_k'", top_k="3"),
    row("stop_sequences of text", "'stop_sequences'", stop_sequences="x"),
    row("stop of a number", "'stop_sequences.1'", stop_sequences=["a", 1]),
    row("empty stop", "must not be empty", stop_sequences=[""]),
    row("65 stops", "max_stops", stop_sequences=[f"s{i}" for i in range(65)]),
    row("tools of an object", "'tools'", tools={}),
    row("tool of text", "'tools.0'", tools=["x"]),
    row("tool without name", "'tools.0.name'", tools=[{"input_schema": {}}]),
    row("tool of a long name", "1 to 128", tools=[{"name": "x" * 129, "input_schema": {}}]),
    row("schema of text", "'tools.0.input_schema'", tools=[{"name": "f", "input_schema": "x"}]),
    row("513 tools", "max_tools", tools=[{"name": "f", "input_schema": {}}] * 513),
    row("tool_choice of text", "'tool_choice'", tools=TOOLS, tool_choice="auto"),
    row("tool_choice without type", "'tool_choice.type'", tools=TOOLS, tool_choice={}),
    row("unknown tool_choice", "'required' is not one of", tools=TOOLS, tool_choice={"type": "required"}),
    row("tool_choice of no tool", "no function named 'g'", tools=TOOLS, tool_choice={"type": "tool", "name": "g"}),
    row("any without tools", "when 'tools' are given", tool_choice={"type": "any"}),
    row("forced call in a prefill", "cannot be combined", tools=TOOLS, tool_choice={"type": "any"},
        messages=[USER, {"role": "assistant", "content": "I"}]),
    row("metadata of text", "'metadata'", metadata="x"),
]


def check_error(answer, status, kind, words):
    assert answer.status == status, answer.text[:500]
    body = answer.json()
    assert set(body) == {"type", "error", "request_id"} and body["type"] == "error"
    assert set(body["error"]) == {"type", "message"} and body["error"]["type"] == kind
    assert words in body["error"]["message"] and len(body["error"]["message"]) < 600
    assert body["request_id"] == answer.headers["request-id"]


@pytest.mark.parametrize("words, kind, status, body", ROWS)
def test_bad_request(scripted, words, kind, status, body):
    check_error(scripted.post("/v1/messages", body), status, kind, words)
    counted = scripted.post("/anthropic/v1/messages/count_tokens", body)
    check_error(counted, status, kind, words)


def test_bytes_that_are_no_request(scripted):
    check_error(scripted.post("/v1/messages", b"{"), 400, "invalid_request_error", "could not parse")
    check_error(scripted.post("/v1/messages", b"[]"), 400, "invalid_request_error", "expected an object")
    check_error(scripted.get("/v1/messages"), 405, "invalid_request_error", "'GET' is not supported")
    check_error(scripted.post("/anthropic/v1/nothing", {}), 404, "not_found_error", "Unknown request URL")
    check_error(scripted.post("/anthropic/v1/v1/messages", {}), 404, "not_found_error", "occurs twice")
    coding = {"content-encoding": "br"}
    check_error(scripted.post("/v1/messages", b"x", coding), 415, "invalid_request_error", "br")


def test_a_body_over_the_limit(scripted):
    head = b"POST /apps/anthropic/v1/messages?beta=true HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n"
    check_error(scripted.raw(head), 413, "request_too_large", "max_body_bytes")


def test_a_key_is_asked_for(serve):
    server = serve([{"text": "x"}], "--api-key", "sk-right")
    check_error(ask(server), 401, "authentication_error", "No API key")
    for headers in ({"x-api-key": "sk-right"}, {"authorization": "Bearer sk-right"}):
        assert server.post("/v1/messages", body_of(), headers).status == 200
    check_error(server.post("/v1/messages", body_of(), {"x-api-key": "sk-wrong"}), 401, "authentication_error", "Incorrect")


@pytest.mark.parametrize("stream", [False, True])
def test_a_full_queue_is_529(scripted, stream):
    answer = ask(scripted, "be busy", stream=stream)
    check_error(answer, 529, "overloaded_error", "queue is full")
    assert answer.headers["retry-after"] == "1" and answer.headers["retry-after-ms"] == "1000"


def test_faults(scripted):
    check_error(ask(scripted, "fail later"), 500, "api_error", "disk on fire")
    events = stream(scripted, "fail later")
    assert events[-1]["type"] == "error" and events[-1]["error"]["type"] == "api_error"
    assert events[-1]["error"]["message"] == "disk on fire" and events[-1]["request_id"].startswith("req_")
    text = "".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta")
    assert text and "I begin and then".startswith(text)
    assert all(event["type"] not in ("message_delta", "message_stop") for event in events)


def test_a_prompt_that_is_too_long(scripted):
    answer = ask(scripted, "word " * 3000)
    check_error(answer, 400, "invalid_request_error", "prompt is too long: ")
    n, most = re.fullmatch(r"prompt is too long: (\d+) tokens > (\d+) maximum", answer.error["message"]).groups()
    assert int(n) > int(most) == 2047
    assert scripted.post("/v1/messages/count_tokens", body_of("word " * 3000)).json() == {"input_tokens": int(n)}
