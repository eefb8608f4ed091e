"""Ten thousand idle connections and a thousand streams at once: all are served, and each costs bounded memory. No times
are asserted; docs/server_performance.md has them."""

import contextlib
import json
import pathlib
import re
import resource
import socket

import pytest
from wire import LIMIT_S, wait_until

N_IDLE, N_STREAMS = 10_000, 1_000
MOST_PER_IDLE = 64 * 1024
MOST_PER_STREAM = 256 * 1024
SPARE_FILES = 500


@pytest.fixture(autouse=True)
def many_files():
    """As many files as the system gives this process, for as long as the test runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < N_IDLE + SPARE_FILES:
        pytest.skip(f"the system gives a process {hard} files, {N_IDLE + SPARE_FILES} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (N_IDLE + SPARE_FILES if soft != resource.RLIM_INFINITY else soft, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident_bytes(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S)


@pytest.mark.parametrize("used", [False, True], ids=["never used", "after a request"])
def test_idle_connections(serve, used):
    server = serve([{"text": "still here"}], "--header-timeout", 3600, "--keep-alive-timeout", 3600)
    assert server.chat().content == "still here"
    before = resident_bytes(server)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(connect(server)) for _ in range(N_IDLE)]
        if used:
            for s in sockets:
                s.sendall(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
            for s in sockets:
                assert s.recv(4096).startswith(b"HTTP/1.1 200")
        wait_until(lambda: server.metric("quern_connections") > N_IDLE, "every connection is open")
        assert (resident_bytes(server) - before) / N_IDLE < MOST_PER_IDLE
        assert server.chat().content == "still here", "beside them others are served"
        for s in sockets[:: N_IDLE // 100]:
            s.sendall(b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            assert s.recv(4096).startswith(b"HTTP/1.1 200"), "and any of them when it wakes up"
    wait_until(lambda: server.metric("quern_connections") < 10, "closed connections are gone")


def read_to_end(s):
    received = b""
    while chunk := s.recv(1 << 16):
        received += chunk
    return received


def test_a_thousand_streams_at_once(serve):
    server = serve(
        [{"match": "wait", "text": "never", "first_delay_ms": 3_600_000}, {"text": "one two three four", "delay_ms": 20}],
        "--max-running", N_STREAMS + 10,
    )
    server.chat()
    before = resident_bytes(server)

    def ask(s, content):
        body = json.dumps({"model": "demo", "stream": True, "messages": [{"role": "user", "content": content}]}).encode()
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n"
                  b"content-length: %d\r\n\r\n" % len(body) + body)

    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(connect(server)) for _ in range(N_STREAMS)]
        for s in sockets:
            ask(s, "wait")
        wait_until(lambda: server.metric("quern_generations_running") == N_STREAMS, "all of them run at once")
        assert (resident_bytes(server) - before) / N_STREAMS < MOST_PER_STREAM
    wait_until(lambda: server.metric("quern_generations_running") == 0, "who left is not computed for")
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(connect(server)) for _ in range(N_STREAMS)]
        for s in sockets:
            ask(s, "x")
        for s in sockets:
            text = read_to_end(s).decode()
            said = "".join(re.findall(r'"content":"((?:[^"\\]|\\.)*)"', text))
            assert said == "one two three four" and "data: [DONE]\n\n" in text
    assert server.is_well()
