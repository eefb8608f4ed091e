"""A client that does not read costs neither memory nor anybody else's time."""

import json
import pathlib
import socket

from wire import wait_until


def resident_bytes(server):
    for line in pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def ask(server, **fields):
    """Sends a request and reads nothing of its answer."""
    body = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": "flood"}], **fields}
    data = json.dumps(body).encode()
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", server.port))
    s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(data) + data)
    return s


RULES = [{"match": "flood", "text": "many words come quickly ", "finish": "length"}, {"text": "x"}]


def test_a_reader_that_stops_is_given_up(serve):
    server = serve(RULES, context_length=1_000_000)
    base = resident_bytes(server)
    s = ask(server, logprobs=True, top_logprobs=20, max_tokens=200_000)
    wait_until(lambda: server.metric("quern_engine_cancelled_total") == 1, "the generation is cancelled")
    wait_until(lambda: server.metric("quern_generations_running") == 0, "it no longer runs")
    assert resident_bytes(server) - base < 200 << 20, "bounded, far from the whole answer"
    assert server.chat("hello").content == "x"
    s.close()
    wait_until(lambda: server.metric("quern_connections") == 1, "its connection is closed")
    assert server.is_well()


def test_others_go_on_beside_slow_readers(serve):
    server = serve(RULES, context_length=1_000_000)
    slow = [ask(server, max_tokens=100_000) for _ in range(8)]
    for _ in range(5):
        assert server.chat("hello").content == "x"
    for s in slow:
        s.close()
    wait_until(lambda: server.metric("quern_generations_running") == 0, "all are gone")


def test_a_reader_that_is_only_slow_gets_everything(serve):
    server = serve([{"text": "many words come quickly ", "finish": "length"}])
    s = ask(server, max_tokens=3000)
    got = b""
    while b"[DONE]" not in got[-40:]:
        chunk = s.recv(2000)
        assert chunk, "cut"
        got += chunk
    s.close()
    assert got.count(b'"finish_reason":"length"') == 1
