"""Peers that send too slowly, stay too long, or are too many: each is let go, and the others are served."""

import contextlib
import json
import time

import pytest
from wire import parse_answer, wait_until

RULES = [{"text": "x"}]
HEALTH = b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n"
BODY = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "x"}]}).encode()


def head(n):
    return b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % n


def read_all(s):
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := s.recv(65536):
            got += chunk
    return got


def trickle(s, data):
    """Sends byte by byte, never silent for long, until the server has answered. The answer."""
    s.settimeout(0.1)
    for at in range(len(data)):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(data[at : at + 1])
        with contextlib.suppress(TimeoutError):
            got = s.recv(65536)
            s.settimeout(60)
            return got + read_all(s)
    raise AssertionError("everything was sent and nothing came back")


@pytest.fixture
def hasty(serve):
    """Two seconds for everything that a peer may take its time with."""
    return serve(RULES, "--header-timeout", 2, "--body-idle-timeout", 2, "--body-timeout", 4, "--keep-alive-timeout", 2)


def test_headers_that_trickle_in_are_cut_off(hasty):
    with hasty.socket() as s:
        answer = parse_answer(trickle(s, b"GET /health HTTP/1.1\r\nhost: a\r\nx-a: " + b"x" * 2000))
    assert answer.status == 408 and "header_timeout" in answer.error["message"]
    assert answer.headers["connection"] == "close"
    assert hasty.chat("now").content == "x"


def test_many_slow_peers_hold_up_nobody(hasty):
    slow = [hasty.socket() for _ in range(200)]
    for s in slow:
        s.sendall(HEALTH[:20])
    assert hasty.chat("now").content == "x"
    for s in slow:
        assert parse_answer(read_all(s)).status == 408
        s.close()
    wait_until(lambda: hasty.metric("quern_connections") == 1, "only the asking one is left")


def test_a_connection_without_a_request_is_closed(hasty):
    with hasty.socket() as s:
        assert read_all(s) == b""


def test_a_body_that_stops_is_cut_off(hasty):
    for sent in (0, 1, len(BODY) - 1):
        with hasty.socket() as s:
            s.sendall(head(len(BODY)) + BODY[:sent])
            answer = parse_answer(read_all(s))
        assert answer.status == 408 and "body_idle_timeout" in answer.error["message"]
    with hasty.socket() as s:
        s.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc")
        assert parse_answer(read_all(s)).status == 408


def test_a_body_that_never_ends_is_cut_off(hasty):
    """Never idle, but a whole body has its time too."""
    with hasty.socket() as s:
        s.sendall(head(100_000))
        answer = parse_answer(trickle(s, b" " * 100_000))
    assert answer.status == 408 and "body_timeout" in answer.error["message"]


def test_a_kept_connection_is_closed_when_unused(hasty):
    with hasty.socket() as s:
        began = time.monotonic()
        s.sendall(HEALTH)
        assert read_all(s).count(b"HTTP/1.1") == 1, "the end is silent: the next request may be under way"
        assert time.monotonic() - began >= 2


def test_a_slow_answer_is_no_idle_connection(serve):
    """The time between requests does not run while an answer is made."""
    server = serve([{"text": "abcdef", "delay_ms": 600}, {"text": "x"}], "--keep-alive-timeout", 1, "--header-timeout", 1)
    assert server.chat("slow").content == "abcdef"
    assert server.chat_events("slow")[-1] == "[DONE]"


def test_connections_over_the_limit_are_told(serve):
    server = serve(RULES, "--max-connections", 2)
    with contextlib.ExitStack() as open_sockets:
        held = [open_sockets.enter_context(server.socket()) for _ in range(2)]
        for s in held:
            s.sendall(HEALTH)
            assert s.recv(65536).startswith(b"HTTP/1.1 200")
        for data in (b"", HEALTH, head(1 << 20) + b" " * (1 << 20)):
            answer = server.raw(data)
            assert answer.status == 503 and answer.error["code"] == "overloaded"
            assert "max_connections" in answer.error["message"]
            assert int(answer.headers["retry-after"]) >= 1 and answer.headers["connection"] == "close"
        # Those who are in stay in.
        for s in held:
            s.sendall(HEALTH)
            assert s.recv(65536).startswith(b"HTTP/1.1 200")

    def served_again():
        answer = server.raw(HEALTH.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        return answer is not None and answer.status == 200

    wait_until(served_again, "there is room again")


def test_a_peer_that_stops_sending_gets_its_answer(serve, demo):
    """Half-closed is not gone: shutdown(SHUT_WR) after the request, then read."""
    server = serve([{"match": "slow", "text": "slowly", "delay_ms": 50}, {"text": "x"}])
    for target, content in ((server, "slow"), (demo, "hello")):
        body = {"model": "demo", "temperature": 0, "max_tokens": 20, "messages": [{"role": "user", "content": content}]}
        for stream in (False, True):
            data = json.dumps({**body, "stream": stream}).encode()
            answer = target.raw(head(len(data)) + data, half_close=True)
            assert answer.status == 200
            assert b"data: [DONE]" in answer.body if stream else answer.choice["finish_reason"] in ("stop", "length")
    assert server.metric("quern_engine_cancelled_total") == 0
