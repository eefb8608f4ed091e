"""What client programs really send: a relay between them and a server that changes nothing and keeps every exchange, so
that requests can be held against /openapi.json."""
import contextlib
import json
import re
import socket
import threading
import urllib.request
from dataclasses import dataclass, field

import jsonschema

WAIT_S = 60


@dataclass
class Message:
    """One HTTP/1.1 message."""

    start: str
    headers: dict
    body: bytes = b""


@dataclass
class Exchange:
    request: Message
    status: int


class Messages:
    """The messages of one direction of a connection, out of its bytes as they come. expect_body(message) says whether the
    message that begins may have one."""

    def __init__(self, expect_body=lambda message: True):
        self.complete = []
        self._expect_body = expect_body
        self._bytes = b""
        self._message = None
        self._left = None  # bytes of the body or of a piece of it; None: a chunk's size comes next

    def feed(self, data):
        self._bytes += data
        while self._step():
            pass

    def _step(self):
        if self._message is None:
            return self._read_head()
        if self._left is None:
            return self._read_chunk_size()
        taken = self._bytes[: self._left]
        self._message.body += taken
        self._bytes = self._bytes[len(taken) :]
        self._left -= len(taken)
        if self._left:
            return False
        if "chunked" not in self._message.headers.get("transfer-encoding", ""):
            self._end()
            return True
        if not self._bytes.startswith(b"\r\n"):
            return False
        self._bytes = self._bytes[2:]
        self._left = None
        return True

    def _read_head(self):
        head, found, rest = self._bytes.partition(b"\r\n\r\n")
        if not found:
            return False
        self._bytes = rest
        start, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        self._message = Message(start, {name.strip().lower(): value.strip() for name, _, value in pairs})
        length = int(self._message.headers.get("content-length", 0))
        chunked = "chunked" in self._message.headers.get("transfer-encoding", "")
        has_body = self._expect_body(self._message)
        if has_body and chunked:
            self._left = None
        elif has_body and length:
            self._left = length
        else:
            self._end()
        return True

    def _read_chunk_size(self):
        line, found, rest = self._bytes.partition(b"\r\n")
        if not found:
            return False
        size = int(line.split(b";")[0], 16)
        if size:
            self._bytes = rest
            self._left = size
            return True
        _, ended, behind = (b"\r\n" + rest).partition(b"\r\n\r\n")
        if not ended:
            return False
        self._bytes = behind
        self._end()
        return True

    def _end(self):
        self.complete.append(self._message)
        self._message = None
        self._left = None


@dataclass
class _Connection:
    requests: Messages = field(default_factory=Messages)
    answers: Messages = None

    def __post_init__(self):
        self.answers = Messages(self._has_body)

    def _has_body(self, answer):
        status = int(answer.start.split(" ")[1])
        finals = sum(not is_interim(a) for a in self.answers.complete)
        asked = self.requests.complete[finals].start if finals < len(self.requests.complete) else ""
        return status >= 200 and status not in (204, 304) and not asked.startswith("HEAD ")


def is_interim(answer):
    return answer.start.split(" ")[1].startswith("1")


class RequestTap:
    """Listens at `base` and passes everything on to the server at `target` (host, port). Owns its threads; close() ends
    it."""

    def __init__(self, target):
        self._target = target
        self._lock = threading.Lock()
        self._connections = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.base = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def take_answered(self):
        """The exchanges that ended since the last call."""
        found = []
        with self._lock:
            for connection in self._connections:
                answers = [answer for answer in connection.answers.complete if not is_interim(answer)]
                new = zip(connection.requests.complete, answers)
                found += [Exchange(request, int(answer.start.split(" ")[1])) for request, answer in new]
                del connection.requests.complete[: len(answers)]
                connection.answers.complete.clear()
        return found

    def _accept(self):
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            connection = _Connection()
            with self._lock:
                self._connections.append(connection)
            server = socket.create_connection(self._target, timeout=WAIT_S)
            for one in (client, server):
                one.settimeout(None)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, sink, messages in (
                (client, server, connection.requests),
                (server, client, connection.answers),
            ):
                threading.Thread(target=self._relay, args=(source, sink, messages), daemon=True).start()

    def _relay(self, source, sink, messages):
        # Kept before it is passed on: an answer never comes before its request.
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    messages.feed(data)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


class Description:
    """A server's /openapi.json, to hold requests against."""

    def __init__(self, base):
        with urllib.request.urlopen(base + "/openapi.json", timeout=WAIT_S) as answer:
            paths = json.load(answer)["paths"]
        # The path itself goes before one with a parameter in its place.
        ordered = sorted(paths.items(), key=lambda item: item[0].count("{"))
        self._paths = [(re.compile(pattern_of(path)), operations) for path, operations in ordered]

    def complaints(self, request):
        """What of this request the description does not know."""
        method, target, _ = request.start.split(" ")
        path = target.split("?")[0].rstrip("/") or "/"
        found = [operations[method.lower()] for pattern, operations in self._paths
                 if pattern.fullmatch(path) and method.lower() in operations]
        if not found:
            return [f"{method} {path} is not described"]
        content = found[0].get("requestBody", {}).get("content", {})
        if "application/json" not in content or not request.body:
            return []
        validator = jsonschema.Draft202012Validator(content["application/json"]["schema"])
        return [f"{method} {path}: {error.json_path}: {error.message[:300]}"
                for error in validator.iter_errors(json.loads(request.body))]


def pattern_of(path):
    """A described path as a regular expression; its parameters may hold slashes (names of models do)."""
    return "".join(".+" if piece.startswith("{") else re.escape(piece) for piece in re.split(r"(\{.*?\})", path))
