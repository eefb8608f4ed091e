"""A client that leaves frees what it used: waiting, while its prompt is read, and while tokens come."""

import concurrent.futures
import json
import random
import socket
import struct
import time

import pytest
from wire import open_stream, wait_until


def idle(server):
    return server.metric("quern_generations_running") == 0 and server.metric("quern_generations_waiting") == 0


def leave(server, content, before_leaving, stream):
    body = {"model": "demo", "messages": [{"role": "user", "content": content}], "stream": stream}
    data = json.dumps(body).encode()
    with server.socket() as s:
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(data) + data)
        wait_until(before_leaving, f"{content} is under way")


@pytest.mark.parametrize("stream", [False, True])
def test_leaving_while_the_prompt_is_read(scripted, stream):
    before = scripted.metric("quern_engine_cancelled_total")
    leave(scripted, "long wait", lambda: scripted.metric("quern_generations_running") == 1, stream)
    wait_until(lambda: idle(scripted), "the generation is gone")
    assert scripted.metric("quern_engine_cancelled_total") == before + 1


@pytest.mark.parametrize("stream", [False, True])
def test_leaving_while_tokens_come(scripted, stream):
    cancelled = scripted.metric("quern_engine_cancelled_total")
    tokens = scripted.metric("quern_engine_generated_tokens_total")
    leave(scripted, "endless", lambda: scripted.metric("quern_engine_generated_tokens_total") > tokens + 3, stream)
    wait_until(lambda: idle(scripted), "the generation is gone")
    assert scripted.metric("quern_engine_cancelled_total") == cancelled + 1
    at_end = scripted.metric("quern_engine_generated_tokens_total")
    time.sleep(0.1)
    assert scripted.metric("quern_engine_generated_tokens_total") == at_end, "nothing is computed for nobody"


def test_leaving_the_queue(serve):
    server = serve(
        [{"match": "first", "text": "word ", "repeat": 5000, "delay_ms": 5}, {"text": "short"}], "--max-running", 1
    )
    s, stream = open_stream(server, "/v1/chat/completions", {"messages": [{"role": "user", "content": "first"}]})
    with s:
        wait_until(lambda: server.metric("quern_generations_running") == 1, "the first runs")
        leave(server, "second", lambda: server.metric("quern_generations_waiting") == 1, True)
        wait_until(lambda: server.metric("quern_generations_waiting") == 0, "the second is gone from the queue")
        assert server.metric("quern_generations_running") == 1, "the first goes on"
        assert stream.readline()
        stream.close()
    wait_until(lambda: idle(server), "the first is gone too")
    assert server.chat("third").content == "short"


def test_leaving_with_several_choices(scripted):
    before = scripted.metric("quern_engine_cancelled_total")
    s, stream = open_stream(
        scripted, "/v1/chat/completions", {"n": 4, "messages": [{"role": "user", "content": "endless"}]}
    )
    wait_until(lambda: scripted.metric("quern_generations_running") == 4, "four choices run")
    stream.close()
    s.close()
    wait_until(lambda: idle(scripted), "all choices are gone")
    assert scripted.metric("quern_engine_cancelled_total") == before + 4


def test_leaving_with_the_real_model(demo):
    s, stream = open_stream(
        demo,
        "/v1/completions",
        {"prompt": "def f(x):\n", "max_tokens": 4000, "ignore_eos": True},
    )
    assert stream.readline()
    assert demo.metric("quern_generations_running") == 1
    stream.close()
    s.close()
    wait_until(lambda: idle(demo), "the generation is gone")
    assert demo.metric("quern_kv_bytes_used") == 0 or demo.metric("quern_engine_cancelled_total") >= 1


def test_left_requests_are_counted(scripted):
    wait_until(lambda: scripted.metric("quern_requests_active") == 1, "only the asking request is active")
    assert scripted.metric("quern_requests_total", status="499") >= 1


def test_a_stop_string_frees_the_generation(scripted):
    """The answer is over for the client; the model must not go on behind it."""
    answer = scripted.chat("endless", stop=["z"])
    assert answer.content == "x y " and answer.choice["finish_reason"] == "stop"
    wait_until(lambda: idle(scripted), "the generation is gone")


@pytest.mark.parametrize("which", ["scripted", "demo"])
def test_many_leave_at_any_moment(request, which):
    """Whenever they go, everything they held comes back and the next ones are served."""
    server = request.getfixturevalue(which)
    chance = random.Random(5)
    data = [
        json.dumps({"model": "demo", "stream": stream, "n": n, "max_tokens": 400, "messages": [
            {"role": "user", "content": chance.choice(["endless", "long wait", "a story", "be slow", "fail later"])}]})
        for stream in (False, True) for n in (1, 3) for _ in range(4)
    ]
    for round_ in range(4):
        sockets = []
        for body in data:
            s = server.socket()
            whole = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body) + body.encode()
            s.sendall(whole[: chance.choice([len(whole), len(whole), len(whole) - 1, 30])])
            if chance.random() < 0.3:
                # Unread answers turn the close into a reset.
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sockets.append(s)
            if chance.random() < 0.3:
                sockets.pop(chance.randrange(len(sockets))).close()
        chance.shuffle(sockets)
        for s in sockets:
            s.close()
    wait_until(lambda: idle(server), "all generations are gone")
    wait_until(lambda: server.metric("quern_requests_active") == 1, "all requests are over")
    wait_until(lambda: server.metric("quern_connections") <= 2, "all connections are closed")
    assert server.chat("hello", max_tokens=3).status == 200


def test_leaving_as_the_answer_ends_leaves_nothing_open(scripted):
    """The client's end comes while the server turns from the answer to the next request."""
    rng = random.Random(7)
    data = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "hello"}], "stream": True}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(data)

    def one():
        with scripted.socket() as s:
            s.sendall(head + data)
            got = b""
            while b"[DONE]" not in got:
                piece = s.recv(65536)
                assert piece, got
                got += piece
            time.sleep(rng.random() / 2000)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(one) for _ in range(400)]:
            done.result()
    wait_until(lambda: scripted.metric("quern_connections") <= 1, "only the one that asks is open")
