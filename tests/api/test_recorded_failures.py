"""What makes agents fail or retry, in every dialect: no answer may have the form that they cannot take (docs/clients.md)."""

import json

import pytest
from answers import call
from dialects import CHAT_TOOL, DIALECTS, WITH_TOOLS
from wire import joined_calls, read_events, read_named_events

NAMES = [dialect.name for dialect in WITH_TOOLS]


@pytest.fixture(params=WITH_TOOLS, ids=NAMES)
def dialect(request):
    return request.param


def of_name(name):
    return next(dialect for dialect in DIALECTS if dialect.name == name)


def calls_of(dialect, answer, stream):
    """[(id or None, index or None, name, arguments as JSON text or value)] of a whole answer or a stream."""
    assert answer.status == 200, answer.text
    if dialect.name in ("chat", "segmind"):
        if stream:
            return [(c["id"], i, c["name"], c["arguments"]) for i, c in enumerate(joined_calls(read_events(answer.body)))]
        calls = answer.json()["choices"][0]["message"].get("tool_calls", [])
        return [(c["id"], i, c["function"]["name"], c["function"]["arguments"]) for i, c in enumerate(calls)]
    if dialect.name == "responses":
        response = read_named_events(answer.body)[-1]["response"] if stream else answer.json()
        items = [item for item in response["output"] if item["type"] == "function_call"]
        return [(item["call_id"], i, item["name"], item["arguments"]) for i, item in enumerate(items)]
    if dialect.name == "anthropic":
        if not stream:
            blocks = [block for block in answer.json()["content"] if block["type"] == "tool_use"]
            return [(block["id"], i, block["name"], block["input"]) for i, block in enumerate(blocks)]
        calls, texts = [], {}
        for event in read_named_events(answer.body):
            if event["type"] == "content_block_start" and event["content_block"]["type"] == "tool_use":
                texts[event["index"]] = ""
                calls.append((event["content_block"]["id"], event["index"], event["content_block"]["name"]))
            elif event["type"] == "content_block_delta" and "partial_json" in event["delta"]:
                texts[event["index"]] += event["delta"]["partial_json"]
        return [(*each, texts[each[1]]) for each in calls]
    if dialect.name == "dashscope":
        if not stream:
            calls = answer.json()["output"]["choices"][0]["message"].get("tool_calls", [])
            return [(c["id"], c["index"], c["function"]["name"], c["function"]["arguments"]) for c in calls]
        calls = {}
        for line in answer.text.splitlines():
            if not line.startswith("data:"):
                continue
            for piece in json.loads(line[5:])["output"]["choices"][0]["message"].get("tool_calls", []):
                entry = calls.setdefault(piece["index"], ["", piece["index"], "", ""])
                entry[0] = entry[0] or piece.get("id", "")
                entry[2] = entry[2] or piece["function"].get("name", "")
                entry[3] += piece["function"].get("arguments", "")
        return [tuple(entry) for entry in calls.values()]
    lines = [json.loads(line) for line in answer.text.splitlines()]
    calls = [c["function"] for line in lines for c in line["message"].get("tool_calls", [])]
    return [(None, i, c["name"], c["arguments"]) for i, c in enumerate(calls)]  # the protocol has no ids


def ask(dialect, server, content, stream, *, max_tokens=None, parallel=False):
    body = dialect.body(content, stream=stream, tools=True)
    parameters = body["parameters"] if dialect.name == "dashscope" else body
    if dialect.name == "responses":
        parameters["tools"] = [{"type": "function", "strict": False, **tool["function"]} for tool in TOOLS]
    elif dialect.name == "anthropic":
        parameters["tools"] = [{"name": t["function"]["name"], "input_schema": t["function"]["parameters"]} for t in TOOLS]
    else:
        parameters["tools"] = TOOLS
    if parallel and dialect.name == "dashscope":
        parameters["parallel_tool_calls"] = True  # one call is this dialect's default
    if max_tokens:
        dialect.max_tokens(body, max_tokens)
    return dialect.post(server, body, stream=stream)


WRITE = {"type": "function", "function": {"name": "write_file", "parameters": {
    "type": "object", "properties": {"path": {"type": "string"}, "content": {"type": "string"}}, "required": ["path"]}}}
TOOLS = [CHAT_TOOL, WRITE]


@pytest.mark.parametrize("stream", [False, True])
def test_every_call_has_an_id_and_an_index(scripted, dialect, stream):
    """Without an id Claude Code asks 508 times a minute, others lose the call; without an index its arguments are lost."""
    calls = calls_of(dialect, ask(dialect, scripted, "two calls", stream, parallel=True), stream)
    assert [name for _, _, name, _ in calls] == ["get_weather", "write_file"]
    indices = [index for _, index, _, _ in calls]
    assert indices == sorted(set(indices))
    if not dialect.name.startswith("ollama"):
        ids = [identity for identity, *_ in calls]
        assert all(isinstance(identity, str) and len(identity) > 8 for identity in ids) and len(set(ids)) == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("n", [10, 17, 24, 31, 38, 45])
def test_arguments_are_json_wherever_the_limit_falls(scripted, dialect, stream, n):
    """A call that was cut makes Codex end and pi write half a file: its arguments are JSON, and the reason is told."""
    answer = ask(dialect, scripted, "cut call", stream, max_tokens=n)
    for _, _, _, arguments in calls_of(dialect, answer, stream):
        value = json.loads(arguments) if isinstance(arguments, str) else arguments
        assert isinstance(value, dict)
    told = {"chat": '"length"', "segmind": '"length"', "responses": '"max_output_tokens"', "anthropic": '"max_tokens"',
            "dashscope": '"length"', "ollama chat": '"length"'}[dialect.name]
    assert told in answer.text


@pytest.mark.parametrize("stream", [False, True])
def test_a_turn_with_a_call_says_so(scripted, dialect, stream):
    told = {"chat": '"finish_reason":"tool_calls"', "segmind": '"finish_reason":"tool_calls"', "responses": '"function_call"',
            "anthropic": '"stop_reason":"tool_use"', "dashscope": '"finish_reason":"tool_calls"', "ollama chat": '"tool_calls"'}
    assert told[dialect.name] in ask(dialect, scripted, "one call", stream).text.replace('": ', '":')


BROKEN_CALLS = {
    "never closed": "<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo",
    "no function": "<tool_call>\nget the weather\n</tool_call>",
    "of a tool that is not there": call("launch_rocket", target="moon"),
    "of half a name": "<tool_call>\n<function=get_wea",
    "empty": "<tool_call>\n</tool_call>",
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("broken", BROKEN_CALLS)
def test_what_was_said_is_never_an_empty_answer(serve, dialect, broken, stream):
    """Empty answers end agents silently. A call that cannot be read is words, or a call, but never nothing."""
    server = serve([{"text": BROKEN_CALLS[broken]}])
    text, names = dialect.read(ask(dialect, server, "x", stream), stream)
    assert text or names
    assert "launch_rocket" not in names


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("content", ["hello", "one call", "say nothing", "go on"])
def test_every_stream_has_its_last_word(scripted, dialect, content, stream):
    """[DONE], message_stop, response.completed or .incomplete, a stop frame, done: true. The readers check it."""
    dialect.read(ask(dialect, scripted, content, stream, max_tokens=40), stream)


ENDS = {
    "chat": "data: [DONE]\n\n", "segmind": "data: [DONE]\n\n", "responses": "response.failed", "anthropic": "event: error",
    "dashscope": "disk on fire", "ollama chat": '"error"',
}


def test_a_fault_midway_is_told_in_the_stream(scripted, dialect):
    """Cut connections are tried again from the beginning; a fault is told, and what was said before it stays said."""
    answer = dialect.post(scripted, dialect.body("fail later", stream=True), stream=True)
    assert answer.status == 200
    assert "disk on fire" in answer.text and ENDS[dialect.name] in answer.text
    assert '"stop"' not in answer.text.replace('"stop":', "").replace('"stop_reason"', ""), "it did not end by itself"


@pytest.mark.parametrize("stream", [False, True])
def test_busy_is_a_status_with_a_time(scripted, dialect, stream):
    """All eight agents try again after 429, 503 or 529 with retry-after, and only before the stream began."""
    answer = dialect.post(scripted, dialect.body("be busy", stream=stream), stream=stream)
    assert answer.status == dialect.busy_status and int(answer.headers["retry-after"]) >= 1


def test_a_context_that_is_too_long_in_the_words_that_are_known(scripted):
    """Codex and others know the code, Claude Code reads both numbers."""
    long = "x y z " * 2000
    for name in ("chat", "responses"):
        answer = of_name(name).post(scripted, of_name(name).body(long))
        assert (answer.status, answer.error["code"]) == (400, "context_length_exceeded")
    answer = of_name("anthropic").post(scripted, of_name("anthropic").body(long))
    message = answer.json()["error"]["message"]
    assert answer.status == 400 and message.startswith("prompt is too long: ")
    n_prompt, n_most = [int(word) for word in message.split() if word.isdigit()]
    assert n_prompt > n_most > 0


def test_invalid_arguments_that_come_back_are_no_reason_to_refuse(scripted):
    """Agents report what they could not read to the model, and echo the call that had it."""
    history = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Os'}}]},
        {"role": "tool", "tool_call_id": "c", "content": "Error: the arguments are no JSON"},
    ]
    assert scripted.chat(messages=history, tools=TOOLS).status == 200


@pytest.mark.parametrize("name", ["chat", "anthropic"])
def test_an_answer_that_was_cut_can_be_gone_on_from(serve, name):
    """After a cut connection Claude Code sends what it has as the beginning of the assistant's turn."""
    server = serve([{"match": "<|im_start|>assistant\nThe first half", "text": " and the second."}, {"text": "from the start"}])
    dialect = of_name(name)
    body = dialect.body("x")
    body["messages"].append({"role": "assistant", "content": "The first half", **({"partial": True} if name == "chat" else {})})
    assert dialect.read(dialect.post(server, body))[0] == " and the second."


def test_usage_that_was_not_asked_for_harms_nobody(scripted):
    """Six of eight ask for it; those that do not must not meet a chunk without choices."""
    events = read_events(scripted.post("/v1/chat/completions", of_name("chat").body(stream=True)).body)
    assert all(event["choices"] for event in events[:-1])
