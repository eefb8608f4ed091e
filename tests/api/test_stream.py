"""Streams, chunk for chunk."""

import answers
import pytest
from wire import joined, joined_text, parse_answer


def test_order_of_a_chat_stream(scripted):
    events = scripted.chat_events("tell a story", stream_options={"include_usage": True})
    assert events[-1] == "[DONE]"
    usage, last, first, texts = events[-2], events[-3], events[0], events[1:-3]
    assert first["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
    ]
    assert texts, "text comes in chunks of its own"
    for event in texts:
        (choice,) = event["choices"]
        assert set(choice["delta"]) == {"content"} and choice["finish_reason"] is None
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
    assert joined(events) == answers.STORY
    assert usage["choices"] == []
    counts = usage["usage"]
    assert counts["total_tokens"] == counts["prompt_tokens"] + counts["completion_tokens"]
    assert counts["prompt_tokens"] > 0 and counts["completion_tokens"] > 5
    for event in events[:-2]:
        assert event["usage"] is None
    for event in events[:-1]:
        assert event["object"] == "chat.completion.chunk" and event["model"] == "demo"
        assert event["id"] == first["id"] and event["created"] == first["created"]
    assert first["id"].startswith("chatcmpl-")


def test_no_usage_unless_asked(scripted):
    events = scripted.chat_events()
    assert all("usage" not in event for event in events[:-1])
    assert all(event["choices"] for event in events[:-1])


def test_usage_in_every_chunk(scripted):
    events = scripted.chat_events(stream_options={"include_usage": True, "continuous_usage_stats": True})
    counts = [event["usage"]["completion_tokens"] for event in events[:-1]]
    assert counts == sorted(counts) and counts[-1] > 0


def test_headers_of_a_stream(scripted):
    answer = scripted.post(
        "/v1/chat/completions", {"model": "demo", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    )
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["connection"] == "keep-alive"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.headers["x-request-id"]


def test_stream_says_what_the_whole_answer_says(scripted):
    for content in ["tell a story", "emoji please", "say nothing"]:
        events = scripted.chat_events(content, stream_options={"include_usage": True})
        whole = scripted.chat(content)
        assert joined(events) == whole.content
        assert events[-2]["usage"] == whole.json()["usage"]


def test_characters_are_never_split(scripted):
    # read_events decodes strictly; the emoji are several tokens each with the tokenizer of the model in the box.
    events = scripted.chat_events("emoji please")
    assert joined(events) == answers.EMOJI
    assert "\ufffd" not in joined(events)
    events = scripted.events("/v1/completions", {"prompt": "emoji please", "max_tokens": 200})
    assert joined_text(events) == answers.EMOJI


def test_a_character_cut_by_max_tokens_ends_as_replacement(scripted):
    whole = scripted.complete("emoji please", max_tokens=200, return_token_ids=True).choice
    n_tokens = len(whole["token_ids"])
    ends = set()
    for n in range(1, n_tokens):
        choice = scripted.complete("emoji please", max_tokens=n).choice
        text = choice["text"]
        assert text.rstrip("\ufffd") == answers.EMOJI[: len(text.rstrip("\ufffd"))]
        ends.add(text[-1])
        assert joined_text(scripted.events("/v1/completions", {"prompt": "emoji please", "max_tokens": n})) == text
    assert "\ufffd" in ends, "some cut went through a character"


def test_role_once_per_choice(scripted):
    events = scripted.chat_events(n=3)
    for index in range(3):
        mine = [c for e in events[:-1] for c in e["choices"] if c["index"] == index]
        assert [("role" in c["delta"]) for c in mine] == [True] + [False] * (len(mine) - 1)
        assert [c["finish_reason"] for c in mine] == [None] * (len(mine) - 1) + ["stop"]
        assert joined(events, index) == "Hello!"


def test_completions_stream(scripted):
    events = scripted.events(
        "/v1/completions", {"prompt": "a story", "max_tokens": 100, "stream_options": {"include_usage": True}}
    )
    assert joined_text(events) == answers.STORY
    for event in events[:-1]:
        assert event["object"] == "text_completion" and event["id"].startswith("cmpl-")
    assert events[-2]["choices"] == [] and events[-2]["usage"]["completion_tokens"] > 0
    finishes = [c["finish_reason"] for e in events[:-2] for c in e["choices"]]
    assert finishes == [None] * (len(finishes) - 1) + ["stop"]
    for event in events[:-2]:
        assert set(event["choices"][0]) == {"text", "index", "logprobs", "finish_reason"}


@pytest.mark.parametrize("path, body", [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "fail later"}]}),
    ("/v1/completions", {"prompt": "fail later", "max_tokens": 50}),
])
def test_error_after_the_stream_began(scripted, path, body):
    events = scripted.events(path, body)
    error = events[-2]["error"]
    assert "disk on fire" in error["message"]
    assert error["type"] == "server_error" and error["code"] == "internal_error" and error["param"] is None
    for event in events[:-2]:
        assert all(choice["finish_reason"] is None for choice in event["choices"]), "no end is faked"
    text = joined(events) if "chat" in path else joined_text(events)
    assert text and "I begin and then".startswith(text)


def test_error_in_a_whole_answer_is_a_status(scripted):
    answer = scripted.chat("fail later")
    assert answer.status == 500 and answer.error["code"] == "internal_error"
    assert "disk on fire" in answer.error["message"] and answer.json()["request_id"]
    answer = scripted.chat("drop later")
    assert answer.status == 503 and answer.error["code"] == "model_unavailable"
    assert int(answer.headers["retry-after"]) >= 1


def test_refused_by_the_engine_is_a_status_for_streams_too(scripted):
    for stream in (False, True):
        answer = scripted.chat("be busy", stream=stream)
        assert answer.status == 503 and answer.error["code"] == "overloaded"
        assert answer.headers["content-type"] == "application/json"
        assert int(answer.headers["retry-after"]) >= 1 and int(answer.headers["retry-after-ms"]) >= 1


def test_http_1_0_gets_a_stream_that_ends_with_the_connection(scripted):
    body = b'{"model":"demo","stream":true,"messages":[{"role":"user","content":"x"}]}'
    head = b"POST /v1/chat/completions HTTP/1.0\r\ncontent-length: %d\r\n\r\n" % len(body)
    with scripted.socket() as s:
        s.sendall(head + body)
        got = b"".join(iter(lambda: s.recv(65536), b""))
    answer = parse_answer(got)
    assert answer.headers["connection"] == "close" and "transfer-encoding" not in answer.headers
    assert answer.text.startswith("data: {") and answer.text.endswith("data: [DONE]\n\n")


def test_keep_alive_chunk_while_the_model_reads(serve):
    server = serve([{"text": "late", "first_delay_ms": 8000}])
    events = server.chat_events()
    empty = [e for e in events[1:-1] if e["choices"][0]["delta"] == {"content": ""}]
    assert empty, "silence is broken by a chunk without text"
    assert joined(events) == "late"
