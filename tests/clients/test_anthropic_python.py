"""The anthropic package for Python against the server: messages, streams, tools, counts, models, errors."""
import json

import anthropic
import pytest

from client_servers import PROGRAM_S
from test_openai_python import ASK_QUICK_SORT, SAID, WRITE_FILE, check_sorts

PREFIXES = ["", "/anthropic", "/apps/anthropic"]
# The package has no type for it any more; servers take it still.
GREEDY = {"temperature": 0}
HELLO = [{"role": "user", "content": "hello"}]
WRITE = {
    "name": WRITE_FILE["function"]["name"],
    "description": WRITE_FILE["function"]["description"],
    "input_schema": WRITE_FILE["function"]["parameters"],
}


def client_of(server, prefix="", **more):
    return anthropic.Anthropic(
        base_url=server.base + prefix, api_key="sk-none", **{"timeout": PROGRAM_S, "max_retries": 0, **more}
    )


@pytest.mark.parametrize("prefix", PREFIXES)
def test_messages(server, prefix):
    message = client_of(server, prefix).messages.create(
        model=server.model, max_tokens=32, messages=HELLO, system="You are a helpful assistant.", extra_body=GREEDY
    )
    assert message.type == "message" and message.role == "assistant" and message.model == server.model
    assert message.id.startswith("msg_") and message._request_id.startswith("req_")
    [block] = message.content
    assert block.type == "text" and block.text
    assert message.stop_reason in ("end_turn", "max_tokens") and message.stop_sequence is None
    assert message.usage.input_tokens > 0 and 0 < message.usage.output_tokens <= 32
    if server.scripted:
        assert (block.text, message.stop_reason) == (SAID, "end_turn")


def test_a_raw_stream_says_what_the_whole_says(server):
    client = client_of(server)
    asked = dict(model=server.model, max_tokens=32, messages=HELLO, extra_body=GREEDY)
    whole = client.messages.create(**asked)
    events = list(client.messages.create(**asked, stream=True))
    assert [events[0].type, events[1].type, events[2].type] == ["message_start", "content_block_start", "content_block_delta"]
    assert [event.type for event in events[-3:]] == ["content_block_stop", "message_delta", "message_stop"]
    text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    assert text == whole.content[0].text
    assert events[-2].delta.stop_reason == whole.stop_reason
    assert events[-2].usage.output_tokens == whole.usage.output_tokens


def test_the_stream_helper(server):
    with client_of(server).messages.stream(model=server.model, max_tokens=32, messages=HELLO, extra_body=GREEDY) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text and message.content[0].text == text
    if server.scripted:
        assert text == SAID


def results_of(message):
    results = []
    for block in message.content:
        if block.type != "tool_use":
            continue
        assert block.name == "write_file" and set(block.input) == {"path", "content"}
        text = f"Success: File '{block.input['path']}' has been written."
        results.append({"type": "tool_result", "tool_use_id": block.id, "content": text})
    return results


@pytest.mark.parametrize("streamed", [False, True])
def test_the_tool_loop(server, streamed):
    client = client_of(server)
    messages = [ASK_QUICK_SORT]

    def ask():
        asked = dict(model=server.model, max_tokens=2000, messages=messages, tools=[WRITE], extra_body=GREEDY)
        if not streamed:
            return client.messages.create(**asked)
        with client.messages.stream(**asked) as stream:
            return stream.get_final_message()

    first = ask()
    assert first.stop_reason == "tool_use", first
    [call] = [block for block in first.content if block.type == "tool_use"]
    assert call.id.startswith("toolu_") and call.input["path"] == "quick_sort.py"
    check_sorts(call.input["content"], server.scripted)
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results_of(first)}]
    second = ask()
    assert second.stop_reason == "end_turn" and all(block.type == "text" for block in second.content)
    if server.scripted:
        assert second.content[0].text.startswith("I have written `quick_sort.py`.")


def test_pieces_of_input_join_to_one_json(server):
    asked = dict(model=server.model, max_tokens=2000, messages=[ASK_QUICK_SORT], tools=[WRITE], extra_body=GREEDY)
    text = ""
    for event in client_of(server).messages.create(**asked, stream=True):
        if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
            text += event.delta.partial_json
    assert json.loads(text)["path"] == "quick_sort.py"


def test_stop_sequences(scripted):
    message = client_of(scripted).messages.create(
        model=scripted.model, max_tokens=99, messages=[{"role": "user", "content": "count to five"}], stop_sequences=["fou"]
    )
    assert message.content[0].text == "one two three "
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "fou")


def test_count_tokens(server):
    client = client_of(server)
    asked = dict(model=server.model, messages=HELLO, system="s", tools=[WRITE])
    count = client.messages.count_tokens(**asked).input_tokens
    usage = client.messages.create(**asked, max_tokens=1).usage
    assert count == usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens


@pytest.mark.parametrize("prefix", PREFIXES)
def test_models(server, prefix):
    client = client_of(server, prefix)
    listed = list(client.models.list(limit=1000))
    assert server.model in [model.id for model in listed] and all(model.display_name for model in listed)
    assert client.models.retrieve(server.model).type == "model"


def test_errors_are_the_packages_own(server):
    messages = client_of(server).messages
    with pytest.raises(anthropic.NotFoundError) as error:
        messages.create(model="no-such-model", max_tokens=5, messages=HELLO)
    assert error.value.body["error"]["type"] == "not_found_error" and error.value.request_id.startswith("req_")
    with pytest.raises(anthropic.BadRequestError, match="messages.0.content"):
        messages.create(model=server.model, max_tokens=5, messages=[{"role": "user", "content": 5}])
    with pytest.raises(anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > \d+ maximum"):
        messages.create(model=server.model, max_tokens=5, messages=[{"role": "user", "content": "x y z " * 400_000}])


def test_busy_once_is_tried_again(scripted):
    asked = dict(model=scripted.model, max_tokens=50, messages=[{"role": "user", "content": "anthropic busy"}])
    with pytest.raises(anthropic.APIStatusError) as error:
        client_of(scripted).messages.create(**asked)
    assert error.value.status_code == 529 and error.value.body["error"]["type"] == "overloaded_error"
    message = client_of(scripted, max_retries=2).messages.create(**asked)
    assert message.content[0].text == "The second try."


def test_a_fault_midway_is_raised(scripted):
    got = ""
    with pytest.raises(anthropic.APIStatusError, match="disk on fire"):
        for event in client_of(scripted).messages.create(
            model=scripted.model, max_tokens=50, messages=[{"role": "user", "content": "please fail midway"}], stream=True
        ):
            if event.type == "content_block_delta":
                got += event.delta.text
    assert got and "I begin and then".startswith(got)
