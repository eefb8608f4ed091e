"""What agents send over chat completions, rule by rule (docs/clients.md)."""

import http.client
import json

import pytest
import recorded
from answers import call
from wire import LIMIT_S, joined, read_events

PATH = "/v1/chat/completions"


def said(server, body, headers=None):
    answer = server.post(PATH, body, headers)
    assert answer.status == 200, answer.text
    if body.get("stream"):
        return joined(read_events(answer.body))
    return answer.content


@pytest.fixture
def wide(serve):
    """A server that knows turns word for word."""
    return serve([
        {"match": ["<|im_start|>user\none two<|im_end|>", "<tool_response>\nfirst second\n</tool_response>"], "text": "parts joined"},
        {"match": "<|im_start|>system\nYou write code.", "text": "system seen"},
        {"text": "no"},
    ], context_length=65536)


def test_usage_comes_when_a_stream_asks_for_it(scripted):
    events = read_events(scripted.post(PATH, recorded.chat("hello", tools=None)).body)
    assert events[-2]["choices"] == [] and events[-2]["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("role", ["system", "developer"])
def test_system_and_developer_are_one(wide, role):
    messages = [{"role": role, "content": "You write code."}, {"role": "user", "content": "x"}]
    assert said(wide, recorded.chat("x", messages=messages)) == "system seen"
    messages[0]["content"] = recorded.parts("You write code.")
    assert said(wide, recorded.chat("x", messages=messages)) == "system seen"


@pytest.mark.parametrize("as_parts", [False, True])
def test_user_and_tool_content_as_parts(wide, as_parts):
    def content(*texts):
        return [part for text in texts for part in recorded.parts(text)] if as_parts else "".join(texts)

    messages = [
        {"role": "user", "content": content("one ", "two")},
        recorded.echoed_call('{"path":"a","content":"b"}', content=None),
        {"role": "tool", "tool_call_id": "call_1", "content": content("first ", "second")},
    ]
    assert said(wide, recorded.chat("x", messages=messages)) == "parts joined"


@pytest.mark.parametrize("form", recorded.ECHOES)
def test_the_echo_of_a_call_in_every_form_is_one(scripted, form):
    def n_prompt(message):
        messages = [{"role": "user", "content": "x"}, message, {"role": "tool", "tool_call_id": "call_1", "content": "ok"}]
        answer = scripted.post(PATH, recorded.chat("x", messages=messages, stream=None, stream_options=None))
        assert answer.status == 200, answer.text
        return answer.json()["usage"]["prompt_tokens"]

    arguments = '{"path":"a","content":"b"}'
    plain = recorded.echoed_call(arguments, content=None)
    assert n_prompt(recorded.echoed_call(arguments, **recorded.ECHOES[form])) == n_prompt(plain)


def test_arguments_written_with_other_spaces_make_the_same_prompt(scripted):
    """Qwen Code, pi, Continue and Cline parse and write them again."""

    def n_prompt(arguments):
        messages = [{"role": "user", "content": "x"}, recorded.echoed_call(arguments, content=None),
                    {"role": "tool", "tool_call_id": "call_1", "content": "ok"}]
        rendered = scripted.post("/apply-template", {"messages": messages, "tools": [recorded.function()]})
        assert rendered.status == 200, rendered.text
        return rendered.json()["prompt"]

    value = {"path": "a b.py", "content": "x = {'k': [1, 2]}\n", "limit": 3}
    compact = json.dumps(value, separators=(",", ":"))
    assert n_prompt(compact) == n_prompt(json.dumps(value)) == n_prompt(json.dumps(value, indent=2))


@pytest.mark.parametrize("fields", [
    {"store": False}, {"tool_choice": "auto"}, {"parallel_tool_calls": True}, {"max_tokens": 32768},
    {"max_completion_tokens": 32768}, {"temperature": 0, "top_p": 0.95, "presence_penalty": 0, "frequency_penalty": 0},
    {"prompt_cache_key": "k", "reasoning_effort": "medium", "verbosity": "low"}, {"seed": 1, "user": "u"},
], ids=lambda fields: ",".join(fields))
def test_fields_of_agents_change_nothing(scripted, fields):
    assert said(scripted, recorded.chat("hello", **fields)) == "Hello!"


def test_no_limit_of_tokens_at_all(scripted):
    """Cline sends neither max_tokens nor max_completion_tokens: the answer ends by itself."""
    events = read_events(scripted.post(PATH, recorded.chat("hello")).body)
    assert events[-3]["choices"][0]["finish_reason"] == "stop"


def test_headers_that_hint_at_a_session_are_welcome(scripted):
    headers = {"X-Session-Id": "s", "x-session-affinity": "s", "X-Initiator": "agent", "openai-organization": "o",
               "OpenAI-Beta": "x", "x-stainless-retry-count": "0", "HTTP-Referer": "https://a.example", "X-Title": "a"}
    assert said(scripted, recorded.chat("hello"), headers) == "Hello!"


@pytest.mark.parametrize("strict", [None, False])
def test_schemas_as_agents_write_them(scripted, strict):
    """anyOf, oneOf, enum, const, arrays of objects, additionalProperties, minimum, maximum, defaults, $schema."""
    tool = recorded.function()
    if strict is not None:
        tool["function"]["strict"] = strict
    assert said(scripted, recorded.chat("hello", tools=[tool])) == "Hello!"


def test_schemas_as_agents_write_them_can_be_forced(serve):
    server = serve([{"text": call("write_file", path="a.py", content="x = 1", kind="text")}], context_length=65536)
    body = recorded.chat("x", tool_choice="required", stream=None, stream_options=None)
    answer = server.post(PATH, body)
    assert answer.status == 200, answer.text
    [made] = answer.choice["message"]["tool_calls"]
    assert json.loads(made["function"]["arguments"]) == {"path": "a.py", "content": "x = 1", "kind": "text"}


def test_names_of_headers_in_any_case(scripted):
    data = json.dumps(recorded.chat("hello")).encode()
    for spell in (str.lower, str.upper, str.title):
        connection = http.client.HTTPConnection("127.0.0.1", scripted.port, timeout=LIMIT_S)
        connection.putrequest("POST", PATH, skip_accept_encoding=True)
        for name, value in (("content-type", "application/json"), ("content-length", str(len(data))), ("authorization", "Bearer k")):
            connection.putheader(spell(name), value)
        connection.endheaders(data)
        response = connection.getresponse()
        assert response.status == 200 and joined(read_events(response.read())) == "Hello!"
        connection.close()


def test_bodies_as_large_as_an_agents_first_one(serve):
    """85 kB of instructions and tools at the first turn."""
    server = serve([{"text": "ok"}], context_length=131072)
    tools = [recorded.function(f"tool_{i}") for i in range(25)]
    body = recorded.chat("x", system="Be careful. " * 4000, tools=tools)
    assert len(json.dumps(body)) > 60_000
    assert said(server, body) == "ok"


def test_two_requests_of_one_user_at_once(scripted):
    """OpenCode asks for a title beside the first question, without tools."""
    connections = []
    for body in (recorded.chat("be slow"), recorded.chat("hello", system="Write a title", tools=None)):
        connection = http.client.HTTPConnection("127.0.0.1", scripted.port, timeout=LIMIT_S)
        connection.request("POST", PATH, json.dumps(body), {"content-type": "application/json"})
        connections.append(connection)
    answers = [joined(read_events(connection.getresponse().read())) for connection in reversed(connections)]
    assert answers == ["Hello!", "slowly " * 40]
