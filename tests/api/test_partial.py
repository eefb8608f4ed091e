"""An unfinished assistant message is continued; only the continuation comes back."""

import pytest
from wire import joined

START = "def add(a, b):\n"


def messages(**last):
    return [{"role": "user", "content": "Write add."}, {"role": "assistant", "content": START, **last}]


FORMS = [
    {"messages": messages(partial=True)},
    {"messages": messages(prefix=True)},
    {"messages": messages(), "continue_final_message": True},
    {"messages": messages(), "continue_final_message": True, "add_generation_prompt": False},
]


@pytest.mark.parametrize("fields", FORMS)
def test_all_forms_say_the_same(demo, fields):
    answer = demo.chat(max_tokens=12, return_token_ids=True, **fields)
    start = demo.complete(START, max_tokens=0, echo=True, logprobs=0, return_token_ids=True)
    ids = answer.choice["prompt_token_ids"]
    wanted = start.choice["prompt_token_ids"]
    assert ids[-len(wanted) :] == wanted, "the prompt ends with the text, the turn is open"
    assert not answer.content.startswith(START)
    assert joined(demo.chat_events(max_tokens=12, **fields)) == answer.content
    assert demo.complete(ids, max_tokens=12).choice["text"] == answer.content


def test_a_closed_turn_is_another_prompt(demo):
    def prompt(**fields):
        return demo.chat(max_tokens=1, return_token_ids=True, **fields).choice["prompt_token_ids"]

    assert prompt(**FORMS[0]) != prompt(messages=messages())
    assert prompt(messages=messages(partial=False)) == prompt(messages=messages())


def test_an_empty_prefix_is_an_ordinary_request(scripted):
    answer = scripted.chat(messages=[{"role": "user", "content": "x"}, {"role": "assistant", "content": "", "partial": True}])
    assert answer.content == "Hello!"


def test_a_call_is_continued(serve):
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    server = serve([{"text": "lo\n</parameter>\n</function>\n</tool_call>"}])
    begun = "Sure.\n<tool_call>\n<function=f>\n<parameter=city>\nOs"
    fields = {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": begun, "partial": True}]}
    answer = server.chat(tools=[tool], **fields)
    (call,) = answer.choice["message"]["tool_calls"]
    assert call["function"] == {"name": "f", "arguments": '{"city": "Oslo"}'}
    assert answer.choice["finish_reason"] == "tool_calls" and "Sure" not in (answer.content or "")
