"""A slow prompt, in every dialect: what a client sees while it waits decides whether it stays (docs/clients.md)."""

import json

import pytest
from dialects import DIALECTS
from wire import Server, wait_until

# What each stream shows before the first token, beside its head: data of the protocol, because most timers count nothing else.
BEATS = {
    "chat": lambda line: b'"content":""' in line,
    "completions": lambda line: b'"text":""' in line,
    "responses": lambda line: b'"type":"response.in_progress"' in line,
    "anthropic": lambda line: line == b"event: ping\n",
    "dashscope": lambda line: line == b":ping\n",
    "segmind": lambda line: b'"content":""' in line,
    "ollama chat": lambda line: b'"content":""' in line,
    "ollama generate": lambda line: b'"response":""' in line,
    "llama.cpp completion": lambda line: b'"content":""' in line,
    "llama.cpp infill": lambda line: b'"content":""' in line,
}
# What is said at once, so that a timer that waits for a first event is content.
AT_ONCE = {"chat": b'"role":"assistant"', "segmind": b'"role":"assistant"', "responses": b"response.created",
           "anthropic": b"message_start"}


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    path = tmp_path_factory.mktemp("script") / "script.json"
    path.write_text(json.dumps({"rules": [{"text": "late", "first_delay_ms": 60_000}]}))
    server = Server("--script", path, "--name", "demo", "--max-running", 64)
    yield server
    server.stop()


def open_stream(server, dialect):
    data = json.dumps(dialect.body(stream=True)).encode()
    head = (f"POST {dialect.path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nx-dashscope-sse: enable\r\n"
            f"content-length: {len(data)}\r\n\r\n")
    s = server.socket()
    s.sendall(head.encode() + data)
    return s, s.makefile("rb")


def test_headers_and_data_come_before_the_first_token(patient):
    """All dialects at once, because each waits two intervals of five seconds."""
    streams = {dialect.name: open_stream(patient, dialect) for dialect in DIALECTS}
    assert set(streams) == set(BEATS)
    for name, (s, lines) in streams.items():
        assert lines.readline().split()[1] == b"200", name
        while lines.readline() != b"\r\n":
            pass
        seen, n_beats = [], 0
        while n_beats < 2:
            line = lines.readline()
            assert line, f"{name}: the stream ended"
            seen.append(line)
            n_beats += BEATS[name](line)
        assert not any(b"late" in line for line in seen)
        if name in AT_ONCE:
            assert AT_ONCE[name] in b"".join(seen[:3]), name
        lines.close()
        s.close()
    wait_until(lambda: patient.metric("quern_generations_running") == 0, "who left is not computed for")


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_the_same_request_again_after_leaving(serve, dialect):
    """On expiry agents drop the connection and send the same again: the first is given up, the second answered."""
    server = serve([{"times": 1, "text": "late", "first_delay_ms": 60_000}, {"text": "in time"}], "--max-running", 1)
    s, lines = open_stream(server, dialect)
    assert lines.readline().split()[1] == b"200"
    lines.close()
    s.close()
    assert dialect.answer(server)[0] == "in time"
    wait_until(lambda: server.metric("quern_engine_cancelled_total") == 1, "the first was cancelled")
