"""An upstream that does what a test tells it to, and remembers what it was asked. Speaks just enough of the completions
protocol, with text, over plain sockets so that it can also break the protocol anywhere."""

import contextlib
import json
import socket
import threading
import time


class Asked:
    """One request as it arrived."""

    def __init__(self, method, path, headers, body):
        self.method = method
        self.path = path
        self.headers = headers
        self.body = json.loads(body) if body else None


class FakeUpstream:
    """Answers POST /v1/completions by calling the next behaviour of `script` (the last one goes on for ever) with the
    connection and the request; GET /v1/models with 200 while `alive`. Owns its threads; close() ends them."""

    def __init__(self, *script, port=0, tls=None):
        self.script = list(script)
        self.asked = []
        self.probes = []
        self.alive = True
        self.gone = threading.Event()  # a client went away while a behaviour was sending
        self._tls = tls
        self._lock = threading.Lock()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._socket.listen(128)
        self.port = self._socket.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}/v1"
        self._connections = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError, ValueError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with self._lock:
                self._connections.append(connection)
            with connection, connection.makefile("rb") as reader:
                while (asked := self._read(reader)) is not None:
                    if not self._answer(connection, asked):
                        return

    @staticmethod
    def _read(reader):
        line = reader.readline()
        if not line.strip():
            return None
        method, path, _ = line.decode().split(" ")
        headers = {}
        while (line := reader.readline().strip()) != b"":
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return Asked(method, path, headers, reader.read(int(headers.get("content-length", 0))))

    def _answer(self, connection, asked):
        if asked.method == "GET":
            self.probes.append(asked)
            send(connection, 200 if self.alive else 503, '{"object":"list","data":[]}')
            return True
        with self._lock:
            self.asked.append(asked)
            behaviour = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        try:
            return behaviour(connection, asked)
        except (BrokenPipeError, ConnectionResetError):
            self.gone.set()
            raise


# ---- what it can do; each returns whether the connection goes on ----


def send(connection, status, body, headers=()):
    lines = [f"HTTP/1.1 {status} Whatever", "content-type: application/json", f"content-length: {len(body.encode())}"]
    connection.sendall("\r\n".join([*lines, *headers, "", body]).encode())


def chunk(text, finish=None, usage=None):
    body = {"object": "text_completion", "choices": [{"index": 0, "text": text, "finish_reason": finish}]}
    return f"data: {json.dumps({**body, 'usage': usage}, ensure_ascii=False)}\n\n".encode()


def begin_stream(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")


def send_piece(connection, data):
    connection.sendall(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def says(text, pieces=1, delay_s=0.0, usage=None):
    """A whole answer, in some pieces."""

    def behave(connection, _):
        begin_stream(connection)
        size = -(-len(text) // pieces)
        for at in range(0, len(text), size):
            send_piece(connection, chunk(text[at : at + size]))
            time.sleep(delay_s)
        send_piece(connection, chunk("", "stop", usage) + b"data: [DONE]\n\n")
        connection.sendall(b"0\r\n\r\n")
        return True

    return behave


def fails(status, message="no", *headers):
    def behave(connection, _):
        send(connection, status, json.dumps({"error": {"message": message}}), headers)
        return True

    return behave


def breaks_off(text):
    """Half an answer, then the connection ends."""

    def behave(connection, _):
        begin_stream(connection)
        if text:
            send_piece(connection, chunk(text))
        return False

    return behave


def hangs(text=""):
    """Half an answer, or none, and then nothing until the client goes away."""

    def behave(connection, _):
        if text:
            begin_stream(connection)
            send_piece(connection, chunk(text))
        connection.settimeout(60)
        connection.recv(1)
        raise BrokenPipeError

    return behave


def drips(text, delay_s):
    """An endless answer, piece by piece."""

    def behave(connection, _):
        begin_stream(connection)
        while True:
            send_piece(connection, chunk(text))
            time.sleep(delay_s)

    return behave


def sends_raw(data):
    """These bytes, whatever they are."""

    def behave(connection, _):
        connection.sendall(data)
        return False

    return behave


def streams_raw(data):
    """A stream of these bytes, well framed."""

    def behave(connection, _):
        begin_stream(connection)
        if data:
            send_piece(connection, data)
        connection.sendall(b"0\r\n\r\n")
        return True

    return behave
