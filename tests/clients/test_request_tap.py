"""The relay in front of the servers reads what passes as it was meant, however it is cut, and its complaints are true."""
import urllib.error
import urllib.request

import pytest

from request_tap import Description, Message, Messages

BODY = b'{"a":"\r\n\r\n"}'
STREAM = (
    b"POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
    + b"GET /two HTTP/1.1\r\nhost: a\r\n\r\n"
    + b"POST /three HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"
    + b"POST /four HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nchecksum: 1\r\n\r\n"
    + b"POST /five HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi"
)
MEANT = [("POST /one", BODY), ("GET /two", b""), ("POST /three", b"abc0123456789"), ("POST /four", b""), ("POST /five", b"hi")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, len(STREAM)])
def test_messages_are_read_from_any_pieces(size):
    messages = Messages()
    for at in range(0, len(STREAM), size):
        messages.feed(STREAM[at : at + size])
    assert [(m.start.removesuffix(" HTTP/1.1"), m.body) for m in messages.complete] == MEANT


@pytest.mark.parametrize("cut", range(len(STREAM)))
def test_messages_are_read_from_two_pieces(cut):
    messages = Messages()
    messages.feed(STREAM[:cut])
    messages.feed(STREAM[cut:])
    assert [(m.start.removesuffix(" HTTP/1.1"), m.body) for m in messages.complete] == MEANT


def test_complaints_name_what_is_not_described(scripted):
    description = Description(scripted.base)

    def complaints(start, body=b""):
        return description.complaints(Message(start + " HTTP/1.1", {}, body))

    assert complaints("GET /v1/models/qwen/qwen3-coder-next") == []
    assert complaints("POST /v1/messages?beta=true", b'{"model":"m","messages":[],"max_tokens":1}') == []
    assert complaints("POST /v1/messages/", b'{"model":"m","messages":[],"max_tokens":1}') == []
    assert complaints("POST /v1/nothing", b"{}") == ["POST /v1/nothing is not described"]
    [complaint] = complaints("POST /v1/chat/completions", b'{"model":"m","messages":[],"temperature":"hot"}')
    assert "$.temperature" in complaint and "hot" in complaint
    [complaint] = complaints("POST /v1/chat/completions", b'{"model":"m"}')
    assert "messages" in complaint


def test_what_was_refused_is_no_complaint(scripted):
    data = urllib.request.Request(scripted.v1 + "/chat/completions", b'{"model":5}', {"content-type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(data)
    assert refused.value.code == 400
