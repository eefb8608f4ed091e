"""The Responses API on the wire: whole and streamed, items, tools, what is kept, errors, on every prefix."""

import json
import re

import answers
import pytest
from wire import open_stream, read_named_events, wait_until

PREFIXES = ["/v1", "", "/compatible-mode/v1", "/openai/v1", "/api/v2/apps/protocols/compatible-mode/v1"]
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
    "strict": None,
}
WRITE = {
    "type": "function",
    "name": "write_file",
    "parameters": {"type": "object", "properties": {"path": {"type": "string"}, "content": {"type": "string"}}},
    "strict": False,
}
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Applies a patch",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /(.|\\n)+/"},
}
TOOLS = [WEATHER, WRITE, PATCH, {"type": "web_search"}, {"type": "namespace", "name": "mcp", "tools": [WEATHER]}]


def body_of(input="hello", **fields):
    return {"model": "demo", "temperature": 0, "input": input, **fields}


def ask(server, input="hello", *, path="/v1/responses", headers=None, **fields):
    return server.post(path, body_of(input, **fields), headers)


def stream(server, input="hello", **fields):
    answer = ask(server, input, stream=True, **fields)
    assert answer.status == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    return read_named_events(answer.body)


DELTAS = {
    "response.output_text": "text",
    "response.function_call_arguments": "arguments",
    "response.custom_tool_call_input": "input",
}


def followed(events):
    """The final response; fails where an event does not fit what came before it."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    first = events[0]["response"]
    assert first["status"] == "in_progress" and first["output"] == [] and first["usage"] is None
    items, item, text, open_part = [], None, None, None
    for event in events[2:-1]:
        kind = event["type"]
        if kind == "response.in_progress":
            continue
        assert event["output_index"] == len(items)
        if kind == "response.output_item.added":
            assert item is None, "one item after the other"
            item, text = event["item"], ""
            assert item["status"] == "in_progress"
            continue
        if kind == "response.output_item.done":
            assert text is None and not open_part and event["item"]["id"] == item["id"]
            items.append(event["item"])
            item = None
            continue
        assert event["item_id"] == item["id"]
        if kind == "response.content_part.added":
            assert item["type"] == "message" and event["content_index"] == 0
            open_part = True
        elif kind == "response.content_part.done":
            assert text is None
            open_part = False
        elif kind.endswith(".delta"):
            assert kind.removesuffix(".delta") in DELTAS
            text += event["delta"]
        else:
            assert event[DELTAS[kind.removesuffix(".done")]] == text
            text = None
    assert item is None
    last = events[-1]["response"]
    assert last["id"] == first["id"] and last["created_at"] == first["created_at"]
    assert last["output"] == items
    return last


def comparable(response):
    output = [{k: v for k, v in item.items() if k not in ("id", "call_id")} for item in response["output"]]
    return {**response, "output": output, "id": None, "created_at": None}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_whole_response(scripted, prefix):
    answer = ask(scripted, path=prefix + "/responses", instructions="be brief", metadata={"a": "b"}, store=False)
    assert answer.status == 200, answer.text
    response = answer.json()
    assert re.fullmatch("resp_[0-9a-f]{24}", response["id"])
    (item,) = response["output"]
    assert re.fullmatch("msg_[0-9a-f]{24}", item.pop("id"))
    part = {"type": "output_text", "text": "Hello!", "annotations": [], "logprobs": []}
    assert item == {"type": "message", "role": "assistant", "status": "completed", "content": [part]}
    want = {"object": "response", "status": "completed", "error": None, "incomplete_details": None, "model": "demo",
            "instructions": "be brief", "metadata": {"a": "b"}, "store": False, "tools": [], "tool_choice": "auto",
            "parallel_tool_calls": True, "previous_response_id": None, "temperature": 0, "truncation": "disabled",
            "text": {"format": {"type": "text"}}, "max_output_tokens": None, "user": None}
    assert {key: response[key] for key in want} == want
    usage = response["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens_details"] == {"cached_tokens": 0}
    assert usage["output_tokens_details"] == {"reasoning_tokens": 0}


@pytest.mark.parametrize(
    "content", ["hello", "one call", "words and call", "two calls", "write it", "emoji", "say nothing", "cut call"]
)
def test_a_stream_says_what_the_whole_response_says(scripted, content):
    fields = {"tools": TOOLS, "max_output_tokens": 40 if content == "cut call" else 900}
    whole = ask(scripted, content, **fields).json()
    events = stream(scripted, content, **fields)
    assert comparable(followed(events)) == comparable(whole)
    incomplete = content == "cut call"
    assert events[-1]["type"] == ("response.incomplete" if incomplete else "response.completed")
    assert whole["incomplete_details"] == ({"reason": "max_output_tokens"} if incomplete else None)
    assert whole["output"], "never without an item"


def test_the_events_of_a_call(scripted):
    events = stream(scripted, "one call", tools=TOOLS)
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert [kind for i, kind in enumerate(kinds) if kinds[i - 1] != kind] == [
        "created", "in_progress", "output_item.added", "function_call_arguments.delta",
        "function_call_arguments.done", "output_item.done", "completed",
    ]
    (item,) = events[-1]["response"]["output"]
    assert re.fullmatch("fc_[0-9a-f]{24}", item["id"]) and re.fullmatch("call_[0-9a-f]{24}", item["call_id"])
    assert item["name"] == "get_weather" and json.loads(item["arguments"]) == {"city": "Oslo", "days": 3}
    assert events[2]["item"] == {**item, "arguments": "", "status": "in_progress"}
    assert events[-3]["name"] == "get_weather"


def test_one_call_when_asked_for_one(scripted):
    assert len(ask(scripted, "two calls", tools=TOOLS).json()["output"]) == 2
    assert len(ask(scripted, "two calls", tools=TOOLS, parallel_tool_calls=False).json()["output"]) == 1


def test_a_custom_tool(serve):
    patch = '*** Begin "Patch"\n+ü\n*** End Patch'
    server = serve([{"match": f"<tool_response>\nDone\n", "text": "Patched."}, {"text": answers.call("apply_patch", input=patch)}])
    events = stream(server, "x", tools=TOOLS)
    (item,) = followed(events)["output"]
    assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "apply_patch", patch)
    history = [{"role": "user", "content": "x"}, item]
    history.append({"type": "custom_tool_call_output", "call_id": item["call_id"], "output": "Done"})
    assert ask(server, history, tools=TOOLS).json()["output"][0]["content"][0]["text"] == "Patched."


def test_the_tool_loop_reaches_the_model(serve):
    server = serve(
        [{"match": ["<parameter=city>\nOslo\n</parameter>", "<tool_response>\nsnow\n</tool_response>"], "text": "It snows."},
         {"text": "Let me see.\n" + answers.CITY_CALL}]
    )
    history = [{"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]}]
    output = ask(server, history, tools=TOOLS, store=False).json()["output"]
    assert [item["type"] for item in output] == ["message", "function_call"]
    history += [*output, {"type": "function_call_output", "call_id": output[1]["call_id"], "output": "snow"}]
    assert ask(server, history, tools=TOOLS).json()["output"][0]["content"][0]["text"] == "It snows."


def test_what_codex_sends(scripted):
    """Fields and items of recorded requests: developer messages in a row, hosted tools, ids and reasoning that come back."""
    text = {"type": "input_text", "text": "x"}
    history = [
        {"type": "message", "role": "developer", "content": [text], "id": "msg_a"},
        {"type": "message", "role": "developer", "content": [text, text]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]},
        {"type": "reasoning", "id": "rs_a", "summary": [], "encrypted_content": None, "content": None},
        {"type": "local_shell_call", "id": "ls", "call_id": "z", "action": {}, "status": "completed"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}], "phase": "commentary"},
        {"type": "function_call", "id": "fc", "call_id": "c", "name": "exec_command", "arguments": "{\"cmd\":\"ls\"}"},
        {"type": "function_call_output", "call_id": "c", "output": "a b"},
    ]
    body = body_of(
        history, stream=True, store=False, tools=TOOLS, tool_choice="auto", parallel_tool_calls=False,
        reasoning={"effort": "medium", "summary": "auto"}, include=["reasoning.encrypted_content"],
        prompt_cache_key="k", client_metadata={"a": "b"}, text={"verbosity": "low"}, service_tier="auto",
    )
    answer = scripted.post("/v1/responses", body, {"session_id": "s", "originator": "codex_exec"})
    assert answer.status == 200, answer.text
    response = followed(read_named_events(answer.body))
    assert response["output"][0]["content"][0]["text"] == "Hello!"
    assert scripted.get("/v1/responses", {"connection": "upgrade", "upgrade": "websocket"}).status == 405


# ---- what is kept ----


def test_a_conversation_goes_on_by_its_id(serve):
    server = serve(
        [{"match": ["my name is Ada", "Hello Ada", "what did I say"], "text": "Your name."},
         {"match": "my name is Ada", "text": "Hello Ada"}, {"text": "?"}]
    )
    first = ask(server, "my name is Ada", instructions="be kind").json()
    second = ask(server, "what did I say", previous_response_id=first["id"]).json()
    assert second["output"][0]["content"][0]["text"] == "Your name."
    third = followed(stream(server, "what did I say", previous_response_id=second["id"]))
    assert third["output"][0]["content"][0]["text"] == "Your name." and third["previous_response_id"] == second["id"]
    assert server.get("/v1/responses/" + third["id"]).json() == third
    items = server.get(f"/v1/responses/{third['id']}/input_items?order=asc").json()
    assert [item["role"] for item in items["data"]] == ["user", "assistant", "user", "assistant", "user"]
    assert items["data"][1] == first["output"][0] and items["has_more"] is False
    assert items["first_id"] == items["data"][0]["id"] and items["last_id"] == items["data"][-1]["id"]
    for prefix in PREFIXES:
        assert server.get(f"{prefix}/responses/{first['id']}").json() == first
    assert server.request("DELETE", "/v1/responses/" + first["id"]).json() == {
        "id": first["id"], "object": "response", "deleted": True,
    }
    assert server.get("/v1/responses/" + first["id"]).status == 404
    assert ask(server, "what did I say", previous_response_id=second["id"]).json()["output"] != [], "it was kept whole"


def test_a_reference_to_an_item(serve):
    server = serve([{"match": ["say it", "The secret", "repeat"], "text": "seen"}, {"text": "The secret"}])
    item = ask(server, "say it").json()["output"][0]
    user = [{"role": "user", "content": "say it"}]
    for reference in ({"type": "item_reference", "id": item["id"]}, {"id": item["id"]}):
        answer = ask(server, [*user, reference, {"role": "user", "content": "repeat"}])
        assert answer.json()["output"][0]["content"][0]["text"] == "seen"


def test_keys_do_not_see_each_other(serve):
    server = serve([{"text": "x"}], "--api-key", "one", "--api-key", "two")
    one, two = ({"authorization": "Bearer " + key} for key in ("one", "two"))
    response = ask(server, headers=one).json()
    path = "/v1/responses/" + response["id"]
    assert server.get(path, one).json() == response
    for answer in (server.get(path, two), server.get(path + "/input_items", two), server.request("DELETE", path, headers=two)):
        assert answer.status == 404 and answer.error["message"] == f"Response with id '{response['id']}' not found."
    other = ask(server, previous_response_id=response["id"], headers=two)
    assert other.status == 404 and other.error["code"] == "previous_response_not_found"
    assert server.get(path).status == 401


def test_the_oldest_make_room(serve):
    server = serve([{"text": "x"}], "--max-stored", "8KiB")
    ids = [ask(server, "y" * 500).json()["id"] for _ in range(12)]
    found = [server.get("/v1/responses/" + id).status for id in ids]
    assert found[-1] == 200 and found == sorted(found, reverse=True) and 404 in found


def test_what_is_not_to_be_kept(scripted):
    response = ask(scripted, store=False).json()
    assert scripted.get("/v1/responses/" + response["id"]).status == 404


@pytest.mark.parametrize("prefix", PREFIXES)
def test_input_tokens(scripted, prefix):
    fields = {"tools": TOOLS, "instructions": "be brief"}
    count = ask(scripted, path=prefix + "/responses/input_tokens", **fields).json()
    usage = ask(scripted, path=prefix + "/responses", **fields).json()["usage"]
    assert count == {"object": "response.input_tokens", "input_tokens": usage["input_tokens"]}


def test_progress_is_said_again_while_nothing_comes(scripted):
    s, lines = open_stream(scripted, "/v1/responses", body_of("long wait"))
    seen = []
    while len(seen) < 4:
        line = lines.readline().decode()
        assert line, "the stream ended"
        if line.startswith("data: "):
            seen.append(json.loads(line[len("data: ") :]))
    assert [event["type"] for event in seen] == ["response.created"] + ["response.in_progress"] * 3
    assert [event["sequence_number"] for event in seen] == [0, 1, 2, 3]
    lines.close()
    s.close()
    wait_until(lambda: scripted.metric("quern_generations_running") == 0, "the generation of a gone client ends")


# ---- errors ----


def row(name, words, param, code="invalid_value", status=400, **fields):
    return pytest.param(words, param, code, status, {"model": "demo", "input": "x", **fields}, id=name)


def item(name, words, param, bad, code="invalid_value", status=400):
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    return row(name, words, param, code, status, input=[call, bad])


MISSING, TYPE = "missing_required_parameter", "invalid_type"
ROWS = [
    row("unknown model", "'none' does not exist", "model", "model_not_found", 404, model="none"),
    row("no input", "'input'", "input", MISSING, input=None),
    row("no items", "'input'", "input", MISSING, input=[]),
    row("input of a number", "'input'", "input", TYPE, input=5),
    row("item of text", "'input[0]'", "input[0]", TYPE, input=["x"]),
    row("20001 items", "max_messages", "input", input=[{"role": "user", "content": "x"}] * 20001),
    item("unknown role", "'robot'", "input[1].role", {"role": "robot", "content": "x"}),
    item("message without role", "'input[1].role'", "input[1].role", {"type": "message", "content": "x"}, MISSING),
    item("message without content", "'input[1].content'", "input[1].content", {"role": "user"}, MISSING),
    item("content of a number", "'input[1].content'", "input[1].content", {"role": "user", "content": 1}, TYPE),
    item("part of text", "content[0]'", "input[1].content[0]", {"role": "user", "content": ["x"]}, TYPE),
    item("an image", "'input_image'", "input[1].content[0]",
         {"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}, "unsupported"),
    item("a file", "'input_file'", "input[1].content[0]", {"role": "user", "content": [{"type": "input_file"}]}, "unsupported"),
    item("call without id", "'input[1].call_id'", "input[1].call_id", {"type": "function_call", "name": "f"}, MISSING),
    item("call of no name", "1 to 256", "input[1].name", {"type": "function_call", "call_id": "a", "name": ""}),
    item("arguments of an object", "'input[1].arguments'", "input[1].arguments",
         {"type": "function_call", "call_id": "a", "name": "f", "arguments": {}}, TYPE),
    item("custom call without input", "'input[1].input'", "input[1].input",
         {"type": "custom_tool_call", "call_id": "a", "name": "f"}, MISSING),
    item("output of no call", "No tool call found for function call output with call_id zz.", "input[1].call_id",
         {"type": "function_call_output", "call_id": "zz", "output": "x"}),
    item("call without output", "'input[1].output'", "input[1].output", {"type": "function_call_output", "call_id": "c"}, MISSING),
    item("id of a number", "'input[1].id'", "input[1].id", {"role": "user", "content": "x", "id": 5}, TYPE),
    item("unknown reference", "'msg_x' not found", "input[1].id", {"type": "item_reference", "id": "msg_x"}, "item_not_found", 404),
    row("unknown previous", "Previous response with id 'resp_x' not found.", "previous_response_id",
        "previous_response_not_found", 404, previous_response_id="resp_x"),
    row("background", "'background'", "background", "unsupported", background=True),
    row("conversation", "'conversation'", "conversation", "unsupported", conversation="conv_1"),
    row("prompt", "'prompt'", "prompt", "unsupported", prompt={"id": "p"}),
    row("truncation", "'head'", "truncation", truncation="head"),
    row("store of text", "'store'", "store", TYPE, store="yes"),
    row("stream of text", "'stream'", "stream", TYPE, stream="true"),
    row("instructions of a list", "'instructions'", "instructions", TYPE, instructions=["x"]),
    row("max_output_tokens 0", "'max_output_tokens'", "max_output_tokens", max_output_tokens=0),
    row("temperature 3", "'temperature'", "temperature", temperature=3),
    row("include of text", "'include'", "include", TYPE, include="x"),
    row("include of numbers", "'include[0]'", "include[0]", TYPE, include=[1]),
    row("top_logprobs 21", "[0, 20]", "top_logprobs", top_logprobs=21),
    row("text of text", "'text'", "text", TYPE, text="x"),
    row("format without type", "'text.format.type'", "text.format.type", MISSING, text={"format": {}}),
    row("tools of an object", "'tools'", "tools", TYPE, tools={}),
    row("tool of text", "'tools[0]'", "tools[0]", TYPE, tools=["x"]),
    row("tool without type", "'tools[0].type'", "tools[0].type", MISSING, tools=[{"name": "f"}]),
    row("tool without name", "'tools[0].name'", "tools[0].name", MISSING, tools=[{"type": "function"}]),
    row("513 tools", "max_tools", "tools", tools=[WEATHER] * 513),
    row("choice of no tool", "no function named 'g'", "tool_choice.name", tools=TOOLS, tool_choice={"type": "function", "name": "g"}),
    row("unknown choice", "'maybe'", "tool_choice", tools=TOOLS, tool_choice="maybe"),
    row("required without tools", "when 'tools' are given", "tool_choice", tool_choice="required"),
    row("metadata of text", "'metadata'", "metadata", TYPE, metadata="x"),
    row("reasoning of text", "'reasoning'", "reasoning", TYPE, reasoning="high"),
    row("too long", ["maximum context length is 2048", "Range of input length"], "messages", "context_length_exceeded",
        input="word " * 3000),
]


@pytest.mark.parametrize("words, param, code, status, body", ROWS)
def test_bad_request(scripted, words, param, code, status, body):
    answer = scripted.post("/v1/responses", body)
    assert answer.status == status, answer.text[:500]
    for fragment in [words] if isinstance(words, str) else words:
        assert fragment in answer.error["message"] and len(answer.error["message"]) < 600
    assert (answer.error["type"], answer.error["param"], answer.error["code"]) == ("invalid_request_error", param, code)
    counted = scripted.post("/v1/responses/input_tokens", body)
    assert counted.status == (200 if code == "context_length_exceeded" else status)


def test_bad_queries(scripted):
    path = "/v1/responses/" + ask(scripted).json()["id"]
    for query, param in (("limit=0", "limit"), ("limit=x", "limit"), ("limit=101", "limit"), ("order=up", "order")):
        answer = scripted.get(f"{path}/input_items?{query}")
        assert answer.status == 400 and answer.error["param"] == param
    assert scripted.get(path + "?stream=true").error["param"] == "stream"
    for method, wrong in (("GET", "/v1/responses/resp_x"), ("DELETE", "/v1/responses/%ff"), ("GET", "/v1/responses/x/input_items")):
        assert scripted.request(method, wrong).status == 404


def test_a_full_queue(scripted):
    for fields in ({}, {"stream": True}):
        answer = ask(scripted, "be busy", **fields)
        assert answer.status == 503 and answer.error["code"] == "overloaded" and answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    "content, code, message",
    [("fail later", "server_error", "disk on fire"), ("drop later", "rate_limit_exceeded", "peer gone. Please try again in 1s.")],
)
def test_faults(scripted, content, code, message):
    assert ask(scripted, content).status in (500, 503)
    events = stream(scripted, content)
    assert events[-1]["type"] == "response.failed"
    response = events[-1]["response"]
    assert response["status"] == "failed" and response["error"] == {"code": code, "message": message}
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert text and "I begin and then".startswith(text)
    assert scripted.get("/v1/responses/" + response["id"]).status == 404
