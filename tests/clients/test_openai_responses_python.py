"""The openai package for Python over the Responses API: answers, streams, tools, kept conversations, errors."""
import json

import openai
import pytest

from test_openai_python import ASK_QUICK_SORT, ROUTES, SAID, WRITE_FILE, check_sorts, client_of

WRITE = {"type": "function", "strict": False, **WRITE_FILE["function"]}
OLD_ROUTE = "/api/v2/apps/protocols/compatible-mode/v1"


@pytest.mark.parametrize("route", [*ROUTES, OLD_ROUTE])
def test_a_response(server, route):
    response = client_of(server, route).responses.create(
        model=server.model, input="hello", instructions="You are a helpful assistant.", temperature=0, max_output_tokens=32
    )
    assert response.object == "response" and response.id.startswith("resp_") and response.model == server.model
    assert response.status in ("completed", "incomplete") and response.error is None
    assert response.output_text and response.output[0].type == "message"
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    if server.scripted:
        assert (response.output_text, response.status) == (SAID, "completed")


def test_a_stream_says_what_the_whole_says(server):
    client = client_of(server)
    asked = dict(model=server.model, input="hello", temperature=0, max_output_tokens=32)
    whole = client.responses.create(**asked)
    events = list(client.responses.create(**asked, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created" and events[-1].type in ("response.completed", "response.incomplete")
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == whole.output_text == events[-1].response.output_text
    assert events[-1].response.usage == whole.usage


def test_the_stream_helper(server):
    with client_of(server).responses.stream(
        model=server.model, input="hello", temperature=0, max_output_tokens=500
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert final.output_text and "response.output_text.delta" in kinds


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("stateful", [False, True])
def test_the_tool_loop(server, streamed, stateful):
    client = client_of(server)
    asked = dict(model=server.model, tools=[WRITE], temperature=0, store=stateful)

    def ask(**more):
        if not streamed:
            return client.responses.create(**asked, **more)
        for event in client.responses.create(**asked, **more, stream=True):
            if event.type == "response.completed":
                return event.response
        raise AssertionError("no end")

    first = ask(input=[ASK_QUICK_SORT])
    [call] = [item for item in first.output if item.type == "function_call"]
    arguments = json.loads(call.arguments)
    assert call.name == "write_file" and call.call_id.startswith("call_") and arguments["path"] == "quick_sort.py"
    check_sorts(arguments["content"], server.scripted)
    result = {
        "type": "function_call_output",
        "call_id": call.call_id,
        "output": "Success: File 'quick_sort.py' has been written.",
    }
    if stateful:
        second = ask(input=[result], previous_response_id=first.id)
    else:
        second = ask(input=[ASK_QUICK_SORT, *first.output, result])
    assert [item.type for item in second.output] == ["message"] and second.output_text
    if server.scripted:
        assert second.output_text.startswith("I have written `quick_sort.py`.")


def test_what_is_kept(server):
    client = client_of(server)
    response = client.responses.create(model=server.model, input="hello", temperature=0, max_output_tokens=8)
    assert client.responses.retrieve(response.id) == response
    items = list(client.responses.input_items.list(response.id))
    assert [item.content[0].text for item in items] == ["hello"]
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    with pytest.raises(openai.NotFoundError) as error:
        client.responses.create(model=server.model, input="x", previous_response_id=response.id)
    assert error.value.code == "previous_response_not_found"


def test_input_tokens(server):
    client = client_of(server)
    count = client.responses.input_tokens.count(model=server.model, input="hello", tools=[WRITE])
    response = client.responses.create(model=server.model, input="hello", tools=[WRITE], max_output_tokens=1)
    assert count.input_tokens == response.usage.input_tokens


def test_errors_are_the_packages_own(server):
    responses = client_of(server).responses
    with pytest.raises(openai.NotFoundError):
        responses.create(model="no-such-model", input="x")
    with pytest.raises(openai.BadRequestError) as error:
        responses.create(model=server.model, input="x y z " * 400_000)
    assert error.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as error:
        responses.create(model=server.model, input="x", background=True)
    assert error.value.param == "background"


def test_a_fault_midway_is_a_failed_response(scripted):
    events = list(client_of(scripted).responses.create(model=scripted.model, input="please fail midway", stream=True))
    assert events[-1].type == "response.failed" and events[-1].response.status == "failed"
    assert (events[-1].response.error.code, events[-1].response.error.message) == ("server_error", "disk on fire")
