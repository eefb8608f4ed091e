"""Log-probabilities: finite, sorted, of the raw logits, and belonging to what is shown."""

import math

import answers
import pytest


def test_chat_logprobs(demo):
    choice = demo.chat("hi", logprobs=True, top_logprobs=5, max_tokens=8, ignore_eos=True).choice
    entries = choice["logprobs"]["content"]
    assert choice["logprobs"]["refusal"] is None and entries
    for entry in entries:
        assert bytes(entry["bytes"]).decode() == entry["token"]
        top = entry["top_logprobs"]
        assert len(top) == 5
        values = [each["logprob"] for each in top]
        assert values == sorted(values, reverse=True) and all(-100 < value <= 0 for value in values)
        assert math.fsum(math.exp(value) for value in values) <= 1.0001
        assert (entry["token"], entry["logprob"]) == (top[0]["token"], top[0]["logprob"]), "greedy"
    assert "".join(entry["token"] for entry in entries) == choice["message"]["content"]


def test_logprobs_are_of_the_raw_logits(demo):
    """Temperature and penalties change what is chosen, not what is reported."""
    prompt = {"messages": [{"role": "user", "content": "hi"}], "logprobs": True, "top_logprobs": 3, "max_tokens": 1}
    base = demo.chat(**prompt).choice["logprobs"]["content"][0]["top_logprobs"]
    for fields in ({"temperature": 1.7, "seed": 3}, {"logit_bias": {"7": 20}}, {"repetition_penalty": 1.5}):
        assert demo.chat(**prompt, **fields).choice["logprobs"]["content"][0]["top_logprobs"] == base


def test_no_logprobs_unless_asked(scripted):
    assert scripted.chat().choice["logprobs"] is None
    assert scripted.complete("x").choice["logprobs"] is None


def test_logprobs_without_top(scripted):
    entries = scripted.chat(logprobs=True).choice["logprobs"]["content"]
    assert entries and all(entry["top_logprobs"] == [] for entry in entries)
    legacy = scripted.complete("x", logprobs=0).choice["logprobs"]
    assert legacy["tokens"] and all(value <= 0 for value in legacy["token_logprobs"])


@pytest.mark.parametrize("n", [1, 20])
def test_counts(scripted, n):
    entries = scripted.chat(logprobs=True, top_logprobs=n).choice["logprobs"]["content"]
    assert all(len(entry["top_logprobs"]) == n for entry in entries)


def test_streamed_logprobs_are_the_whole_ones(scripted):
    for content in ("a story", "emoji"):
        whole = scripted.chat(content, logprobs=True, top_logprobs=2).choice["logprobs"]["content"]
        events = scripted.chat_events(content, logprobs=True, top_logprobs=2)
        streamed = [
            entry
            for event in events[:-1]
            for choice in event["choices"]
            if choice["logprobs"]
            for entry in choice["logprobs"]["content"]
        ]
        assert streamed == whole


def test_tokens_of_parts_of_characters(scripted):
    entries = scripted.chat("emoji", logprobs=True).choice["logprobs"]["content"]
    assert b"".join(bytes(entry["bytes"]) for entry in entries).decode() == answers.EMOJI
    assert any(entry["token"].startswith("\\x") for entry in entries)
    for n in range(1, len(entries)):
        cut = scripted.chat("emoji", logprobs=True, max_tokens=n).choice["logprobs"]["content"]
        assert cut == entries[:n], "the last tokens have theirs even when a character is cut"


def test_legacy_logprobs_of_parts_of_characters(scripted):
    whole = scripted.complete("emoji", logprobs=1, max_tokens=200).choice["logprobs"]
    assert len(whole["tokens"]) == len(whole["text_offset"]) == len(whole["token_logprobs"])
    assert whole["text_offset"] == sorted(whole["text_offset"])
    n_tokens = scripted.complete("emoji", max_tokens=200).json()["usage"]["completion_tokens"] - 1
    assert len(whole["tokens"]) == n_tokens
    for n in range(1, n_tokens):
        choice = scripted.complete("emoji", logprobs=1, max_tokens=n).choice
        assert choice["logprobs"]["tokens"] == whole["tokens"][:n]
        assert choice["logprobs"]["token_logprobs"] == whole["token_logprobs"][:n]


def test_what_a_stop_took_away_has_none(scripted):
    choice = scripted.complete("a story", logprobs=1, stop="STOP", max_tokens=200).choice
    tokens = choice["logprobs"]["tokens"]
    # The last one may reach into the stop; the next would begin in it.
    assert "".join(tokens).startswith(choice["text"]) and len("".join(tokens[:-1])) < len(choice["text"])
    content = scripted.chat("a story", logprobs=True, stop="STOP here").choice["logprobs"]["content"]
    assert [entry["token"] for entry in content] == tokens
