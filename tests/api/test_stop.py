"""Stop strings: found across token borders, never shown, never cut inside a call."""

import json

import answers
import pytest
from wire import joined, joined_text

STORY = answers.STORY


@pytest.mark.parametrize(
    "stop, ends",
    [
        ("STOP", STORY.index("STOP")),
        (["END"], STORY.index("END")),
        (["END", "STOP"], STORY.index("STOP")),
        ("crow.", STORY.index("crow.")),
        (" fox met a cr", STORY.index(" fox met a cr")),
        ("o", STORY.index("o")),
        (["said the fox. EN", "said the fox. ENX"], STORY.index("said the fox")),
        ("One", 0),
        ("never there", len(STORY)),
        ("story.", STORY.index("story.")),
        ("story.!", len(STORY)),
        (["x" * 4096] * 64, len(STORY)),
    ],
)
def test_stop_strings(scripted, stop, ends):
    reason = "stop"
    answer = scripted.chat("a story", stop=stop)
    assert answer.content == STORY[:ends] and answer.choice["finish_reason"] == reason
    events = scripted.chat_events("a story", stop=stop)
    assert joined(events) == STORY[:ends] and events[-2]["choices"][0]["finish_reason"] == reason
    choice = scripted.complete("a story", stop=stop, max_tokens=200).choice
    assert choice["text"] == STORY[:ends] and choice["finish_reason"] == reason
    events = scripted.events("/v1/completions", {"prompt": "a story", "stop": stop, "max_tokens": 200})
    assert joined_text(events) == STORY[:ends]


def test_every_stop_in_the_story(scripted):
    """Any piece of the text stops where it first occurs."""
    for start in range(0, len(STORY), 7):
        for size in (1, 2, 5, 17):
            stop = STORY[start : start + size]
            assert scripted.complete("a story", stop=stop, max_tokens=200).choice["text"] == STORY[: STORY.index(stop)]


def test_a_stop_inside_a_character_sequence(scripted):
    for stop in ("👦", "你", "\u200d", " 🙂"):
        assert scripted.chat("emoji", stop=stop).content == answers.EMOJI[: answers.EMOJI.index(stop)]


def test_stop_ids(scripted):
    whole = scripted.complete("a story", max_tokens=200, return_token_ids=True).choice
    ids = whole["token_ids"]
    at = 5
    first = ids.index(ids[at])
    for fields in ({"stop_token_ids": [ids[at]]}, {"stop": [ids[at]]}, {"stop": ids[at]}):
        choice = scripted.complete("a story", max_tokens=200, return_token_ids=True, **fields).choice
        assert choice["token_ids"] == ids[: first + 1] and choice["finish_reason"] == "stop"
        assert STORY.startswith(choice["text"]) and len(choice["text"]) < len(STORY)
    choice = scripted.complete("a story", max_tokens=200, stop=[[ids[2], ids[3]]]).choice
    assert STORY.startswith(choice["text"]) and len(choice["text"]) < len(STORY)


def test_a_stop_does_not_cut_a_call(scripted):
    tools = [{"type": "function", "function": {"name": "write_file"}}]
    answer = scripted.chat("write it", tools=tools, stop=["</", "def", "\n"])
    (call,) = answer.choice["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"])["content"] == answers.CODE


def test_a_stop_is_not_found_in_the_prompt(scripted):
    choice = scripted.complete("a story", echo=True, stop="a story", max_tokens=100).choice
    assert choice["text"] == "a story" + STORY


def test_what_was_held_back_comes_at_the_end(scripted):
    events = scripted.chat_events("a story", stop=["story." + "!" * 50], max_tokens=400)
    assert joined(events) == STORY


def test_ignore_eos_goes_on(scripted):
    answer = scripted.chat("hello", ignore_eos=True, max_tokens=20)
    assert answer.content.startswith("Hello!Hello!") and answer.choice["finish_reason"] == "length"


def test_length(scripted):
    answer = scripted.chat("go on", max_tokens=7)
    assert answer.choice["finish_reason"] == "length" and answer.json()["usage"]["completion_tokens"] == 7
    answer = scripted.chat("go on", max_completion_tokens=5, max_tokens=7)
    assert answer.json()["usage"]["completion_tokens"] == 5


def test_without_max_tokens_a_chat_ends_with_the_context(scripted):
    usage = scripted.chat("go on").json()["usage"]
    assert usage["total_tokens"] == 2048
