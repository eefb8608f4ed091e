"""The dashscope package for Python against the native routes: generation, streams, tools, partial mode, tokenizer, errors."""
import asyncio
import json
from http import HTTPStatus

import dashscope
import pytest
from dashscope.aigc.generation import AioGeneration

SAID = "Hello! 你好 🙂"
WRITE_FILE = {
    "type": "function",
    "function": {
        "name": "write_file",
        "description": "Writes content to a file.",
        "parameters": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
            "required": ["path", "content"],
        },
    },
}
ASK_QUICK_SORT = {"role": "user", "content": "Write a Python quick sort script and name it quick_sort.py"}


@pytest.fixture(autouse=True)
def native(server):
    dashscope.base_http_api_url = server.base + "/api/v1"


def ask(text):
    return [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": text}]


def call(server, **fields):
    fields = {"model": server.model, "temperature": 0.001, "seed": 7, "max_tokens": 48, **fields}
    return dashscope.Generation.call(api_key="sk-none", **fields)


def check_usage(usage):
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.input_tokens > 0


def test_message_format(server):
    response = call(server, messages=ask("hello"), result_format="message")
    assert response.status_code == HTTPStatus.OK, response
    assert response.request_id and response.code == "" and response.message == ""
    [choice] = response.output.choices
    assert choice.message.role == "assistant" and isinstance(choice.message.content, str)
    assert choice.finish_reason in ("stop", "length")
    check_usage(response.usage)
    if server.scripted:
        assert choice.message.content == SAID


def test_text_format_and_prompt(server):
    response = call(server, prompt="hello", result_format="text")
    assert response.status_code == HTTPStatus.OK, response
    assert isinstance(response.output.text, str) and response.output.finish_reason in ("stop", "length")
    if server.scripted:
        assert response.output.text == SAID


@pytest.mark.parametrize("result_format", ["message", "text"])
@pytest.mark.parametrize("incremental", [True, False])
def test_stream_says_what_the_whole_says(server, result_format, incremental):
    def text_of(response):
        assert response.status_code == HTTPStatus.OK, response
        output = response.output
        return output.text if result_format == "text" else output.choices[0].message.content

    fields = dict(messages=ask("hello"), result_format=result_format)
    whole = call(server, **fields)
    parts = list(call(server, **fields, stream=True, incremental_output=incremental))
    texts = [text_of(part) for part in parts]
    assert ("".join(texts) if incremental else texts[-1]) == text_of(whole)
    if not incremental:
        assert all(later.startswith(earlier) for earlier, later in zip(texts, texts[1:]))
    assert len({part.request_id for part in parts}) == 1
    assert parts[-1].usage.output_tokens == whole.usage.output_tokens
    check_usage(parts[-1].usage)


def test_stream_of_the_asynchronous_client(server):
    async def run():
        parts = await AioGeneration.call(
            api_key="sk-none", model=server.model, messages=ask("hello"), result_format="message", temperature=0.001,
            max_tokens=48, stream=True, incremental_output=True,
        )
        return "".join([part.output.choices[0].message.content async for part in parts])

    whole = call(server, messages=ask("hello"), result_format="message")
    assert asyncio.run(run()) == whole.output.choices[0].message.content


def test_tool_loop(server):
    messages = [{"role": "system", "content": "You are a coding assistant."}, ASK_QUICK_SORT]
    first = call(server, messages=messages, tools=[WRITE_FILE], result_format="message", max_tokens=600)
    assert first.status_code == HTTPStatus.OK, first
    choice = first.output.choices[0]
    assert choice.finish_reason == "tool_calls", choice
    [tool_call] = choice.message.tool_calls
    assert tool_call["function"]["name"] == "write_file"
    arguments = json.loads(tool_call["function"]["arguments"])
    assert arguments["path"] == "quick_sort.py" and "def quick_sort" in arguments["content"]
    messages += [
        {"role": "assistant", "content": choice.message.content or "", "tool_calls": choice.message.tool_calls},
        {"role": "tool", "content": "Success: File 'quick_sort.py' has been written.", "tool_call_id": tool_call["id"]},
    ]
    second = call(server, messages=messages, tools=[WRITE_FILE], result_format="message", max_tokens=200)
    assert second.status_code == HTTPStatus.OK, second
    assert second.output.choices[0].message.content
    if server.scripted:
        assert second.output.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("incremental", [True, False])
def test_streamed_tool_call(server, incremental):
    fields = dict(messages=[ASK_QUICK_SORT], tools=[WRITE_FILE], result_format="message", max_tokens=600)
    whole = call(server, **fields).output.choices[0].message.tool_calls[0]["function"]
    names, arguments = [], ""
    for part in call(server, **fields, stream=True, incremental_output=incremental):
        assert part.status_code == HTTPStatus.OK, part
        for piece in part.output.choices[0].message.get("tool_calls") or []:
            names.append(piece["function"].get("name") or "")
            arguments = (arguments if incremental else "") + piece["function"]["arguments"]
    assert (names[0], arguments) == (whole["name"], whole["arguments"])
    assert set(names) <= {"write_file", ""}


def test_partial_mode(server):
    prefix = "def generate_prime_number"
    messages = [
        {"role": "user", "content": "Help me write a Python code that generates prime numbers, without explanation."},
        {"role": "assistant", "content": prefix, "partial": True},
    ]
    response = call(server, messages=messages, result_format="message")
    assert response.status_code == HTTPStatus.OK, response
    content = response.output.choices[0].message.content
    assert content and not content.startswith(prefix)
    if server.scripted:
        assert content.startswith("(n):")


def test_tokenizer_counts_what_generation_counts(server):
    counted = dashscope.Tokenization.call(api_key="sk-none", model=server.model, messages=ask("hello"))
    assert counted.status_code == HTTPStatus.OK, counted
    answered = call(server, messages=ask("hello"), result_format="message")
    assert counted.usage["input_tokens"] == answered.usage.input_tokens == len(counted.output["token_ids"])


def test_errors_are_native(server):
    unknown = call(server, model="no-such-model", prompt="x")
    assert (unknown.status_code, unknown.code) == (404, "ModelNotFound")
    bad = call(server, prompt="x", top_p=0)
    assert (bad.status_code, bad.code) == (400, "InvalidParameter")
    assert bad.message == "Range of top_p should be (0.0, 1.0]" and bad.request_id


def test_an_error_in_the_stream(scripted):
    dashscope.base_http_api_url = scripted.base + "/api/v1"
    parts = list(call(scripted, prompt="please fail midway", stream=True, incremental_output=True))
    assert parts[0].status_code == HTTPStatus.OK
    assert (parts[-1].status_code, parts[-1].code) == (500, "InternalError")
    assert "disk on fire" in parts[-1].message
