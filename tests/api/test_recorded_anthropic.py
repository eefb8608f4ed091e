"""What clients of Anthropic Messages send, rule by rule (docs/clients.md): none of it may be refused or change the answer."""

import json

import pytest
import recorded
from answers import call
from wire import read_named_events

PATH = "/v1/messages?beta=true"


def prompt_is(server, body, headers=None):
    """The text of the answer, and the tokens of the prompt."""
    answer = server.post(PATH, body, headers or recorded.CLAUDE_CODE_HEADERS)
    assert answer.status == 200, answer.text
    counted = server.post("/v1/messages/count_tokens?beta=true", body)
    assert counted.status == 200, counted.text
    return answer.json()["content"][0]["text"], counted.json()["input_tokens"]


@pytest.fixture
def echo(serve):
    """Says which of the turns it was shown it knows, word for word."""
    environment = f"<|im_start|>system\n{recorded.ENVIRONMENT}<|im_end|>\n"
    return serve([{"match": ["<|im_start|>user\nhello<|im_end|>\n" + environment], "text": "as one turn"}, {"text": "otherwise"}],
                 context_length=65536)


def test_unknown_betas_are_ignored(scripted):
    body = recorded.claude_code("hello")
    for beta in ("", "no-such-beta", ",".join(f"beta-{i}" for i in range(20))):
        answer = scripted.post(PATH, body, {**recorded.CLAUDE_CODE_HEADERS, "anthropic-beta": beta})
        assert answer.status == 200 and answer.json()["content"] == [{"type": "text", "text": "Hello!"}]


def test_an_unknown_version_is_no_reason_to_refuse(scripted):
    for headers in ({}, {"anthropic-version": "2023-06-01"}, {"anthropic-version": "2030-01-01"}):
        assert scripted.post("/v1/messages", recorded.claude_code("hello"), headers).status == 200


def test_a_system_message_is_the_same_as_blocks_and_as_a_string(echo):
    blocks = recorded.claude_code("hello", environment=[{"type": "text", "text": recorded.ENVIRONMENT}])
    string = recorded.claude_code("hello", environment=recorded.ENVIRONMENT)
    assert prompt_is(echo, blocks) == prompt_is(echo, string)
    assert prompt_is(echo, string)[0] == "as one turn"


def test_the_billing_block_is_constant_and_stays_out_of_the_prompt(scripted):
    """Another session's block 0 must not spoil the prefix that sessions share."""
    body = recorded.claude_code("hello")
    other = json.loads(json.dumps(body))
    other["system"][0]["text"] = recorded.BILLING["text"].replace("cch=1", "cch=123456789")
    assert prompt_is(scripted, body) == prompt_is(scripted, other)


def test_cache_marks_do_not_enter_the_prompt(echo):
    assert prompt_is(echo, recorded.claude_code("hello")) == prompt_is(echo, recorded.claude_code("hello", marks=False))


@pytest.mark.parametrize("fields", [
    {"thinking": {"type": "adaptive", "display": "omitted"}},
    {"thinking": {"type": "enabled", "budget_tokens": 31999}, "temperature": 1},
    {"thinking": {"type": "disabled"}},
    {"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}},
    {"output_config": {"effort": "high"}},
    {"metadata": {"user_id": "{\"session_id\":\"s\"}"}},
    {"metadata": {"user_id": None}},
], ids=lambda fields: json.dumps(fields)[:50])
def test_fields_of_agents_change_nothing(scripted, fields):
    assert prompt_is(scripted, recorded.claude_code("hello", **fields)) == prompt_is(scripted, recorded.claude_code("hello"))


def test_server_tools_without_a_schema_are_passed_over(scripted):
    body = recorded.cline_messages("hello")
    answer = scripted.post("/v1/messages", body)
    assert answer.status == 200, answer.text
    n = scripted.post("/v1/messages/count_tokens", body).json()["input_tokens"]
    body["tools"].pop()
    assert scripted.post("/v1/messages/count_tokens", body).json()["input_tokens"] == n


def test_tool_fields_of_agents_do_not_enter_the_prompt(scripted):
    plain = {"name": "write_file", "input_schema": recorded.FILE_SCHEMA}
    marked = {**plain, "defer_loading": True, "eager_input_streaming": True, "cache_control": {"type": "ephemeral"}}
    bodies = [{"model": "demo", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}], "tools": [tool]}
              for tool in (plain, marked)]
    counts = [scripted.post("/v1/messages/count_tokens", body).json()["input_tokens"] for body in bodies]
    assert counts[0] == counts[1]


RESULTS = {
    "string": {"content": "It is done."},
    "string, no error": {"content": "It is done.", "is_error": False},
    "blocks": {"content": [{"type": "text", "text": "It is done."}]},
    "marked blocks": {"content": [recorded.cached({"type": "text", "text": "It is done."})]},
}


@pytest.mark.parametrize("form", RESULTS)
def test_tool_results_in_every_form_are_one(serve, form):
    server = serve([{"match": "<tool_response>\nIt is done.\n</tool_response>", "text": "yes"}, {"text": "no"}],
                   context_length=65536)
    more = [
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2lnbmF0dXJl"},
            {"type": "text", "text": "I write."},
            {"type": "tool_use", "id": "toolu_1", "name": "write_file", "input": {"path": "a", "content": "b"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", **RESULTS[form]}]},
    ]
    assert prompt_is(server, recorded.claude_code("hello", more=more))[0] == "yes"


def test_a_failed_tool_is_told_to_the_model(serve):
    server = serve([{"match": ["<tool_response>\n", "No such file"], "text": "seen"}, {"text": "no"}], context_length=65536)
    more = [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "write_file", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "No such file", "is_error": True}]},
    ]
    assert prompt_is(server, recorded.claude_code("hello", more=more))[0] == "seen"


def test_thinking_that_comes_back_is_no_words_of_the_answer(serve):
    server = serve([{"match": "SECRET THOUGHT", "text": "leaked"}, {"text": "kept apart"}], context_length=65536)
    thought = {"type": "thinking", "thinking": "SECRET THOUGHT", "signature": "c2ln"}
    more = [{"role": "assistant", "content": [thought, {"type": "text", "text": "Done."}]}, {"role": "user", "content": "next"}]
    assert prompt_is(server, recorded.claude_code("hello", more=more))[0] == "kept apart"


@pytest.mark.parametrize("path", ["/", "/api/hello"])
def test_head_probes_are_answered_and_keep_the_connection(scripted, path):
    with scripted.socket() as s:
        s.sendall(f"HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        stream = s.makefile("rb")
        status = int(stream.readline().split()[1])
        assert status in (200, 404)
        while stream.readline() != b"\r\n":
            pass
        assert stream.readline().split()[1] == b"200", "no body came between"
        stream.close()


def test_a_key_in_either_header(serve):
    server = serve([{"text": "in"}], "--api-key", "sk-1", context_length=65536)
    for header in ({"authorization": "Bearer sk-1"}, {"x-api-key": "sk-1"}):
        assert server.post(PATH, recorded.claude_code("x"), header).status == 200


def test_a_call_whose_keys_come_back_in_another_order(serve):
    """Claude Code and OpenCode put the keys of arguments into the schema's order: still the same call."""
    server = serve([{"match": ["<parameter=path>\na.py\n</parameter>", "<parameter=content>\nx = 1\n</parameter>", "ok"],
                     "text": "seen"}, {"text": call("write_file", content="x = 1", path="a.py")}], context_length=65536)
    body = recorded.claude_code("hello")
    first = server.post(PATH, body).json()
    [use] = first["content"]
    assert list(use["input"]) == ["content", "path"], "as the model wrote it"
    reordered = {**use, "input": {key: use["input"][key] for key in ("path", "content")}}
    more = [{"role": "assistant", "content": [reordered]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use["id"], "content": "ok"}]}]
    answer = server.post(PATH, recorded.claude_code("hello", more=more)).json()
    assert answer["content"][0]["text"] == "seen"


def test_the_whole_request_streams(scripted):
    answer = scripted.post(PATH, recorded.claude_code("hello", stream=True), recorded.CLAUDE_CODE_HEADERS)
    events = read_named_events(answer.body)
    assert [events[0]["type"], events[-1]["type"]] == ["message_start", "message_stop"]
