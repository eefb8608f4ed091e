"""What Codex and others send over the Responses API, rule by rule (docs/clients.md)."""

import json

import pytest
import recorded
from wire import read_named_events

PATH = "/v1/responses"


def final(answer):
    assert answer.status == 200, answer.text
    events = read_named_events(answer.body)
    assert events[-1]["type"] == "response.completed"
    return events[-1]["response"]


def said(server, body):
    return final(server.post(PATH, body))["output"][0]["content"][0]["text"]


@pytest.fixture
def wide(serve):
    return serve([
        {"match": ["<|im_start|>system\nYou write code.", "Approvals are off.", "a b c"], "text": "results seen"},
        {"match": ["<|im_start|>system\nYou write code.", "Approvals are off.", "exec_command"], "text": "prompt seen"},
        {"match": ["<|im_start|>system\nYou write code.", "write_file"], "text": "instructions seen"},
        {"text": "no"},
    ], context_length=65536)


def test_developer_messages_in_a_row_without_instructions(wide):
    assert said(wide, recorded.codex("x")) == "prompt seen"


def test_instructions_beside_the_input(wide):
    assert said(wide, recorded.qwen_responses("x")) == "instructions seen"


@pytest.mark.parametrize("tool", [
    {"type": "web_search"}, {"type": "web_search_preview"}, {"type": "local_shell"}, {"type": "image_generation"},
    {"type": "namespace", "name": "n", "tools": []}, {"type": "tool_search"}, {"type": "of_next_year", "x": [1]},
], ids=lambda tool: tool["type"])
def test_tools_that_a_provider_hosts_are_passed_over(scripted, tool):
    body = {"model": "demo", "input": "hello", "tools": [tool]}
    bare = {"model": "demo", "input": "hello"}
    counts = [scripted.post(PATH + "/input_tokens", each).json()["input_tokens"] for each in (body, bare)]
    assert scripted.post(PATH, body).status == 200 and counts[0] == counts[1]


@pytest.mark.parametrize("field", ["include", "reasoning", "prompt_cache_key", "client_metadata", "store"])
def test_fields_of_agents_change_nothing(scripted, field):
    body = recorded.codex("hello")
    with_it = said(scripted, body)
    del body[field]
    assert with_it == said(scripted, body) == "Hello!"


def test_items_come_back_with_ids_and_status(wide):
    """Both ends write items their own way: with status, without ids, with encrypted thoughts."""
    call = {"type": "function_call", "name": "exec_command", "arguments": "{\"cmd\": \"ls\"}", "call_id": "call_1"}
    result = {"type": "function_call_output", "call_id": "call_1", "output": "a b c"}
    thought = {"type": "reasoning", "summary": [], "encrypted_content": "x", "content": None}
    for more in ({}, {"id": "fc_1", "status": "completed"}):
        assert said(wide, recorded.codex("x", [thought, {**call, **more}, result])) == "results seen"
    parts = {**result, "output": [{"type": "input_text", "text": "a b c"}]}
    assert said(wide, recorded.codex("x", [call, parts])) == "results seen"


def test_nothing_is_kept_when_store_is_false(scripted):
    response = final(scripted.post(PATH, recorded.codex("hello")))
    assert scripted.get(f"{PATH}/{response['id']}").status == 404


def test_every_answer_ends_with_completed(scripted):
    """Codex asks five times again when this event is missing; so it comes after text, calls and cuts alike."""
    tools = [{"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}]
    for words in ("hello", "one call", "say nothing"):
        body = {"model": "demo", "input": words, "tools": tools, "stream": True, "store": False}
        events = read_named_events(scripted.post(PATH, body).body)
        assert events[-1]["type"] == "response.completed"
        assert events[-1]["response"]["usage"]["total_tokens"] > 0
    body = {"model": "demo", "input": "go on", "max_output_tokens": 3, "stream": True, "store": False}
    events = read_named_events(scripted.post(PATH, body).body)
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_no_tokens_limit_means_none(scripted):
    body = recorded.codex("hello")
    assert "max_output_tokens" not in json.dumps(body)
    assert final(scripted.post(PATH, body))["status"] == "completed"
