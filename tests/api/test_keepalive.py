"""One connection, many requests; and requests that come in pieces or all at once."""

import gzip
import http.client
import json
import zlib

from wire import LIMIT_S, open_stream, parse_answer, read_events

CHAT = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "x"}]}).encode()


def head(n_body, *more):
    lines = ["POST /v1/chat/completions HTTP/1.1", "Host: a", "Content-Type: application/json", *more]
    if n_body is not None:
        lines.append(f"Content-Length: {n_body}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def read_one(stream):
    """One answer with a content-length from a buffered reader."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        line = stream.readline()
        assert line, "the connection closed"
        data += line
    answer = parse_answer(data)
    return parse_answer(data + stream.read(int(answer.headers["content-length"])))


def test_many_requests_on_one_connection(scripted):
    connection = http.client.HTTPConnection("127.0.0.1", scripted.port, timeout=LIMIT_S)
    connection.connect()
    first = connection.sock
    for i in range(30):
        if i % 3 == 0:
            body = json.dumps({**json.loads(CHAT), "stream": True}).encode()
            connection.request("POST", "/v1/chat/completions", body)
            response = connection.getresponse()
            assert read_events(response.read())[-1] == "[DONE]"
        else:
            connection.request("POST" if i % 2 else "PUT", "/v1/chat/completions", CHAT if i % 2 else None)
            response = connection.getresponse()
            assert response.status == (200 if i % 2 else 405)
            response.read()
        assert connection.sock is first, "the connection stays"
    connection.close()


def test_pipelined_requests_are_answered_in_order(scripted):
    with scripted.socket() as s:
        s.sendall(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n" + head(len(CHAT)) + CHAT + b"GET /no HTTP/1.1\r\nhost: a\r\n\r\n")
        stream = s.makefile("rb")
        assert read_one(stream).json() == {"status": "ok"}
        assert read_one(stream).content == "Hello!"
        assert read_one(stream).status == 404
        stream.close()


def test_a_request_byte_by_byte(scripted):
    with scripted.socket() as s:
        for byte in head(len(CHAT)) + CHAT:
            s.sendall(bytes([byte]))
        stream = s.makefile("rb")
        assert read_one(stream).content == "Hello!"
        stream.close()


def test_chunked_bodies(scripted):
    pieces = [CHAT[i : i + 7] for i in range(0, len(CHAT), 7)]
    body = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nx-trailer: 1\r\n\r\n"
    with scripted.socket() as s:
        s.sendall(head(None, "Transfer-Encoding: chunked") + body)
        stream = s.makefile("rb")
        assert read_one(stream).content == "Hello!"
        s.sendall(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
        assert read_one(stream).status == 200, "the next request begins where the body ended"
        stream.close()


def test_expect_continue(scripted):
    with scripted.socket() as s:
        s.sendall(head(len(CHAT), "Expect: 100-continue"))
        stream = s.makefile("rb")
        assert stream.readline() == b"HTTP/1.1 100 Continue\r\n" and stream.readline() == b"\r\n"
        s.sendall(CHAT)
        assert read_one(stream).content == "Hello!"
        stream.close()


def test_compressed_bodies(scripted):
    raw = zlib.compressobj(wbits=-15)
    for coding, data in [
        ("gzip", gzip.compress(CHAT)),
        ("deflate", zlib.compress(CHAT)),
        ("deflate", raw.compress(CHAT) + raw.flush()),
        ("identity", CHAT),
    ]:
        assert scripted.post("/v1/chat/completions", data, {"content-encoding": coding}).content == "Hello!"


def test_connection_close_is_heeded(scripted):
    answer = scripted.raw(head(len(CHAT), "Connection: close") + CHAT)
    assert answer.content == "Hello!" and answer.headers["connection"] == "close"


def test_http_1_0(scripted):
    answer = scripted.raw(b"POST /v1/chat/completions HTTP/1.0\r\ncontent-length: %d\r\n\r\n" % len(CHAT) + CHAT)
    assert answer.content == "Hello!" and answer.headers["connection"] == "close"


def test_absolute_target(scripted):
    answer = scripted.raw(b"GET http://a.example/health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    assert answer.json() == {"status": "ok"}


def test_many_connections_at_once(scripted):
    sockets = [scripted.socket() for _ in range(300)]
    for s in sockets:
        s.sendall(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
    for s in sockets:
        with s.makefile("rb") as stream:
            assert read_one(stream).status == 200
        s.close()


def test_bytes_leave_as_they_are_made(scripted):
    """Words arrive while the model still speaks: this answer takes minutes."""
    s, stream = open_stream(scripted, "/v1/chat/completions", {"messages": [{"role": "user", "content": "endless"}]})
    with s:
        words = 0
        while words < 20:
            words += stream.readline().startswith(b"data: ")
        assert scripted.metric("quern_generations_running") >= 1
        stream.close()
