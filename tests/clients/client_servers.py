"""Servers for the client programs: one with the scripted model, one with real weights.

QUERN_URL (such as http://127.0.0.1:8080, with or without /v1) names a running server that takes the second one's place;
QUERN_BIN names the program (default build/quern). Both kinds get the same programs; what the scripted model says is
known word for word, of what real weights say only the shape is checked here (tests/demo checks its sense).
"""
import os
import pathlib
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request

from request_tap import Description, RequestTap

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
QUERN = (ROOT / os.environ.get("QUERN_BIN", "build/quern")).resolve()
MODULES = ROOT / "build/node/node_modules"
START_S = 240
PROGRAM_S = 300


class Server:
    """A server to talk to. base has no /v1."""

    def __init__(self, base, scripted):
        self.base = base
        self.scripted = scripted
        self.model = "qwen3-coder-next"

    @property
    def v1(self):
        return self.base + "/v1"

    def samples(self, name):
        """A metric's samples: [({label: value}, number)]."""
        with urllib.request.urlopen(self.base + "/metrics", timeout=PROGRAM_S) as answer:
            lines = answer.read().decode().splitlines()
        found = [line.rsplit(" ", 1) for line in lines if line.split("{")[0].split(" ")[0] == name]
        return [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(number)) for labels, number in found]

    def metric(self, name):
        """The sum of a metric over its labels."""
        return sum(number for _, number in self.samples(name))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until_ready(base, process):
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended with {process.returncode} before it could answer"
        try:
            with urllib.request.urlopen(base + "/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"the server did not answer within {START_S} s")


class TappedServers:
    """The relays in front of the servers that run."""

    def __init__(self):
        self._open = {}  # relay -> its server's description

    def add(self, tap):
        self._open[tap] = Description(tap.base)

    def remove(self, tap):
        del self._open[tap]
        tap.close()

    def complaints(self):
        """Of the answered requests since the last call, what their server's /openapi.json does not describe."""
        found = []
        for tap, description in self._open.items():
            for exchange in tap.take_answered():
                if exchange.status < 400:
                    found += description.complaints(exchange.request)
        return found


TAPPED = TappedServers()


def serve(*args):
    """Yields the address of a running server, which is that of a relay in front of it."""
    assert QUERN.exists(), f"{QUERN} does not exist: run `make build`, or name the program with QUERN_BIN"
    base = f"http://127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [str(QUERN), "serve", "--listen", base.removeprefix("http://"), *map(str, args)], stdout=subprocess.DEVNULL
    )
    try:
        wait_until_ready(base, process)
        tap = RequestTap(("127.0.0.1", int(base.rsplit(":", 1)[1])))
        try:
            TAPPED.add(tap)
            yield tap.base
        finally:
            TAPPED.remove(tap)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
