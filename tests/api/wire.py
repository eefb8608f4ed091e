"""What the API tests share: a server of their own, a plain HTTP client, and readers of raw answers and streams."""

import contextlib
import http.client
import json
import os
import pathlib
import queue
import re
import signal
import socket
import subprocess
import threading
import time

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUERN = str((ROOT / os.environ.get("QUERN_BIN", "build/quern")).resolve())
# Only a protection against tests that hang: nothing is measured with it.
LIMIT_S = 300
# Larger bodies are not checked against the server's description: it would take too long.
MOST_CHECKED_BYTES = 1 << 20


class Server:
    """One `quern serve`. Owns the process; stop() or kill() ends it."""

    scheme = "http"

    def __init__(self, *args):
        command = [QUERN, "serve", "--listen", "127.0.0.1:0", *map(str, args)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.errors = []
        self._described = None
        self._lines = queue.Queue()
        threading.Thread(target=self._read_out, daemon=True).start()
        threading.Thread(target=self._read_err, daemon=True).start()
        self.port = self._wait_for_port(command)

    def _read_out(self):
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _read_err(self):
        for line in self.process.stderr:
            self.errors.append(line)

    def _wait_for_port(self, command):
        try:
            while True:
                line = self._lines.get(timeout=LIMIT_S)
                assert line is not None, f"{command} ended: {''.join(self.errors)}"
                found = re.match(rf"listening on {self.scheme}://127\.0\.0\.1:(\d+)$", line)
                if found:
                    return int(found.group(1))
        except BaseException:
            self.kill()
            raise

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self):
        return self.process.wait(LIMIT_S)

    def stop(self):
        if self.process.poll() is None:
            self.kill()

    def kill(self):
        self.process.kill()
        self.process.wait(LIMIT_S)

    # ---- requests ----

    def request(self, method, path, body=None, headers=None, connection=None):
        """One whole exchange. body: bytes, or a value sent as JSON."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body, ensure_ascii=False).encode()
            headers.setdefault("content-type", "application/json")
        own = connection is None
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            if own:
                connection.close()
        self._check_described(method, path, body, answer)
        return answer

    def _check_described(self, method, path, body, answer):
        """What the server accepts is what its /openapi.json describes."""
        if method != "POST" or answer.status != 200 or not body or len(body) > MOST_CHECKED_BYTES:
            return
        if self._described is None:
            self._described = json.loads(self.get("/openapi.json").body)["paths"]
        operation = self._described.get(path.split("?")[0].rstrip("/"), {}).get("post")
        content = operation and operation["requestBody"]["content"].get("application/json")
        with contextlib.suppress(UnicodeDecodeError, json.JSONDecodeError):  # gzip, byte order marks
            if content:
                jsonschema.Draft202012Validator(content["schema"]).validate(json.loads(body))

    def get(self, path, headers=None):
        return self.request("GET", path, headers=headers)

    def post(self, path, body, headers=None):
        return self.request("POST", path, body, headers)

    def chat(self, content="hello", *, path="/v1/chat/completions", **fields):
        """POST chat; content becomes one user message unless messages are given."""
        body = {"model": "demo", "temperature": 0, **fields}
        body.setdefault("messages", [{"role": "user", "content": content}])
        return self.post(path, body)

    def complete(self, prompt, **fields):
        return self.post("/v1/completions", {"model": "demo", "temperature": 0, "prompt": prompt, **fields})

    def events(self, path, body):
        """The `data:` payloads of a whole stream, the last being "[DONE]". Fails on anything else in it."""
        answer = self.post(path, {"model": "demo", "temperature": 0, "stream": True, **body})
        assert answer.status == 200, answer.text
        return read_events(answer.body)

    def chat_events(self, content="hello", **fields):
        body = dict(fields)
        body.setdefault("messages", [{"role": "user", "content": content}])
        return self.events("/v1/chat/completions", body)

    def socket(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_S)

    def raw(self, data, half_close=False):
        """Sends bytes as they are and reads until the server closes. None when it closed without a word."""
        with self.socket() as s:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                s.sendall(data)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
            got = b""
            with contextlib.suppress(ConnectionResetError):
                while chunk := s.recv(65536):
                    got += chunk
        return parse_answer(got) if got else None

    # ---- what it says about itself ----

    def metric(self, name, **labels):
        """The sum of this metric's samples that have these labels."""
        total = 0.0
        for line in self.get("/metrics").text.splitlines():
            found = re.match(r"(\w+)(?:\{(.*)\})? (\S+)$", line)
            if not found or found.group(1) != name:
                continue
            have = dict(re.findall(r'(\w+)="([^"]*)"', found.group(2) or ""))
            if all(have.get(k) == v for k, v in labels.items()):
                total += float(found.group(3))
        return total

    def is_well(self):
        return self.process.poll() is None and self.get("/health").json() == {"status": "ok"}


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {k.lower(): v for k, v in headers.items()}
        self.body = body

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json()["error"]

    @property
    def choice(self):
        assert self.status == 200, self.text
        choices = self.json()["choices"]
        assert len(choices) == 1
        return choices[0]

    @property
    def content(self):
        return self.choice["message"]["content"]


def parse_answer(data):
    """The first HTTP answer in data; interim answers are passed over."""
    while True:
        head, _, rest = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        status = int(lines[0].split(" ")[1])
        if status != 100:
            break
        data = rest
    headers = dict(line.split(": ", 1) for line in lines[1:])
    length = headers.get("content-length")
    return Answer(status, headers, rest[: int(length)] if length is not None else rest)


def read_events(body):
    """Checks the framing of an SSE body to the byte; returns its payloads, JSON read."""
    text = body.decode()
    assert text.endswith("data: [DONE]\n\n")
    payloads = []
    for frame in text[:-2].split("\n\n"):
        assert frame.startswith("data: ") and "\n" not in frame, frame
        payload = frame[len("data: ") :]
        payloads.append(payload if payload == "[DONE]" else json.loads(payload))
    assert payloads.count("[DONE]") == 1
    return payloads


def read_named_events(body):
    """Checks the framing of an SSE body whose events have names, and that each name is its payload's type."""
    text = body.decode()
    assert text.endswith("\n\n")
    payloads = []
    for frame in text[:-2].split("\n\n"):
        name, data = frame.split("\n")
        assert name.startswith("event: ") and data.startswith("data: "), frame
        payloads.append(json.loads(data[len("data: ") :]))
        assert payloads[-1]["type"] == name[len("event: ") :]
    return payloads


def joined(events, index=0):
    """The content of a chat stream."""
    return "".join(
        choice["delta"].get("content") or ""
        for event in events[:-1]
        for choice in event.get("choices", [])
        if choice["index"] == index
    )


def joined_text(events, index=0):
    """The text of a completions stream."""
    return "".join(
        choice["text"] for event in events[:-1] for choice in event.get("choices", []) if choice["index"] == index
    )


def joined_calls(events, index=0):
    """The tool calls of a chat stream, put together as clients do."""
    calls = []
    for event in events[:-1]:
        for choice in event["choices"]:
            if choice["index"] != index:
                continue
            for piece in choice["delta"].get("tool_calls", []):
                if "id" in piece:
                    assert piece["index"] == len(calls), "calls begin one after the other"
                    assert set(piece) == {"index", "id", "type", "function"} and piece["type"] == "function"
                    assert piece["function"]["arguments"] == ""
                    calls.append({"id": piece["id"], "name": piece["function"]["name"], "arguments": ""})
                else:
                    assert set(piece) == {"index", "function"} and set(piece["function"]) == {"arguments"}
                    assert piece["index"] == len(calls) - 1, "a call is complete before the next begins"
                    calls[-1]["arguments"] += piece["function"]["arguments"]
    return calls


def open_stream(server, path, body):
    """A request whose answer is read bit by bit: (socket, file). The head is read already."""
    data = json.dumps({"model": "demo", "temperature": 0, "stream": True, **body}).encode()
    s = server.socket()
    s.sendall(
        f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
        f"content-length: {len(data)}\r\n\r\n".encode()
        + data
    )
    stream = s.makefile("rb")
    assert stream.readline().split(b" ")[1] == b"200"
    while stream.readline() != b"\r\n":
        pass
    return s, stream


def wait_until(condition, what):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)
