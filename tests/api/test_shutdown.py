"""SIGTERM: what runs is finished, what is new is refused, and the program ends by itself."""

import http.client
import signal

import pytest
from wire import LIMIT_S, ROOT, Server, joined, open_stream, parse_answer, read_events, wait_until

USER = {"messages": [{"role": "user", "content": "x"}]}


def read_chunk(stream):
    """The next chunk of a chunked body; empty at its end."""
    data = stream.read(int(stream.readline(), 16))
    assert stream.readline() == b"\r\n"
    return data


def rest_of(s, stream, begun=b""):
    """The payloads of a stream, of which begun was read before."""
    body = begun
    while chunk := read_chunk(stream):
        body += chunk
    stream.close()
    s.close()
    return read_events(body)


def refuses_connections(server):
    try:
        server.socket().close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_running_streams_are_finished(serve, number):
    server = serve([{"text": "word " * 60, "delay_ms": 20}])
    s, stream = open_stream(server, "/v1/chat/completions", USER)
    begun = read_chunk(stream)
    server.signal(number)
    wait_until(lambda: refuses_connections(server), "new connections are refused")
    events = rest_of(s, stream, begun)
    assert joined(events) == "word " * 60
    assert events[-1] == "[DONE]" and events[-2]["choices"][0]["finish_reason"] == "stop"
    assert server.wait() == 0


def test_nothing_running_ends_at_once(serve):
    server = serve([{"text": "x"}])
    assert server.chat().status == 200
    server.signal()
    assert server.wait() == 0


def test_idle_connections_do_not_hold_it(serve):
    server = serve([{"text": "x"}])
    idle = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S) for _ in range(5)]
    for connection in idle:
        assert server.request("GET", "/health", connection=connection).status == 200
    server.signal()
    assert server.wait() == 0
    for connection in idle:
        assert connection.sock.recv(100) == b"", "closed without a word"
        connection.close()


def test_a_request_on_an_open_connection_is_refused(serve):
    """A client whose request is under way when the server stops is told so."""
    server = serve([{"match": "long", "text": "word " * 80, "delay_ms": 20}, {"text": "x"}])
    s, stream = open_stream(server, "/v1/chat/completions", {"messages": [{"role": "user", "content": "long"}]})
    with server.socket() as other:
        # Half a request is on its way when the signal comes.
        body = b'{"model":"demo","messages":[{"role":"user","content":"x"}]}'
        other.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n"
                      b"content-length: %d\r\n\r\n" % len(body))
        assert other.recv(65536).startswith(b"HTTP/1.1 100 "), "its head is read"
        other.sendall(body[:10])
        server.signal()
        wait_until(lambda: refuses_connections(server), "it is stopping")
        other.sendall(body[10:])
        got = b"".join(iter(lambda: other.recv(65536), b""))
    answer = parse_answer(got)
    assert answer.status == 503 and answer.error["code"] == "model_unavailable"
    assert "shutting down" in answer.error["message"] and answer.headers["connection"] == "close"
    assert rest_of(s, stream)[-1] == "[DONE]"
    assert server.wait() == 0


def test_grace_is_bounded(serve):
    server = serve([{"text": "word ", "repeat": 10_000, "delay_ms": 20}], "--grace", 1)
    s, stream = open_stream(server, "/v1/chat/completions", USER)
    assert stream.readline()
    server.signal()
    assert server.wait() == 0
    rest = stream.read()
    assert b"[DONE]" not in rest, "a cut answer does not look like a whole one"
    stream.close()
    s.close()


def test_a_second_signal_ends_at_once(serve):
    server = serve([{"text": "word ", "repeat": 10_000, "delay_ms": 20}], "--grace", 3600)
    s, stream = open_stream(server, "/v1/chat/completions", USER)
    assert stream.readline()
    server.signal()
    wait_until(lambda: refuses_connections(server), "it is stopping")
    server.signal()
    assert server.wait() == 130
    stream.close()
    s.close()


def test_the_real_model_stops_too():
    server = Server("--model", ROOT / "models/demo", "--name", "demo")
    try:
        s, stream = open_stream(server, "/v1/completions", {"prompt": "def f(x):", "max_tokens": 30, "ignore_eos": True})
        server.signal()
        assert rest_of(s, stream)[-1] == "[DONE]"
        assert server.wait() == 0
    finally:
        server.stop()
