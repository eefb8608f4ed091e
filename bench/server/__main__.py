"""What the server costs around the engine: the scripted backend answers at once, so everything measured is the server's.

  python3 bench/server --quern build/quern             # all parts; some two minutes
  python3 bench/server --quern build/quern streams     # whole, streams, memory

whole    requests/s and latency of answers that are not streamed, by wrk (Debian: apt-get install wrk)
streams  events/s over 1, 100 and 1,000 streams as fast as they go, and how late events are at a given pace, by sse_load
         (built here from sse_load.cc)
memory   bytes per idle connection (10,000 of them) and per active stream (1,000), from /proc/PID/status

Load and server share the machine. Prints Markdown for docs/server_performance.md.
"""
import argparse
import contextlib
import http.client
import json
import pathlib
import re
import resource
import shutil
import socket
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
N_IDLE = 10_000
WHOLE_S = 5
ROUNDS = 3


def script(delay_ms):
    rule = {"text": "word ", "finish": "length", "delay_ms": delay_ms}
    return {"context_length": 1_000_000, "rules": [rule]}


class Server:
    """One `quern serve` with the scripted backend."""

    def __init__(self, quern, delay_ms=0):
        self.folder = tempfile.TemporaryDirectory()
        path = pathlib.Path(self.folder.name) / "script.json"
        path.write_text(json.dumps(script(delay_ms)))
        command = [quern, "serve", "--script", path, "--name", "load", "--listen", "127.0.0.1:0", "--max-running", "1024"]
        self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            found = re.match(r"listening on http://127\.0\.0\.1:(\d+)$", line)
            if found:
                self.port = int(found.group(1))
                return
        raise SystemExit("the server did not start")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def resident_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024

    def metric(self, name):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name)


def row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def table(*heads):
    print()
    row(*heads)
    row(*["---"] * len(heads))


# ---- whole answers ----


def wrk(port, n_connections, path):
    command = ["wrk", "-t1", f"-c{n_connections}", f"-d{WHOLE_S}s", "--latency", "-s", HERE / "request.lua",
               f"http://127.0.0.1:{port}{path}"]
    text = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in text and "Socket errors" not in text, text
    quantile = {q: re.search(rf"{q}%\s+([\d.]+)(us|ms|s)", text).groups() for q in (50, 99)}
    scale = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
    return rate, *(float(number) * scale[unit] for number, unit in quantile.values())


def measure_whole(quern):
    if not shutil.which("wrk"):
        print("\nwhole answers: not measured, wrk is missing (apt-get install wrk)")
        return
    table("connections", "requests/s", "p50 ms", "p99 ms")
    with Server(quern) as server:
        for n in (1, 16, 64):
            rate, p50, p99 = wrk(server.port, n, "/v1/chat/completions")
            row(n, f"{rate:,.0f}", f"{p50:.2f}", f"{p99:.2f}")


# ---- streams ----


def build_loader():
    program = pathlib.Path(tempfile.gettempdir()) / "quern_sse_load"
    source = HERE / "sse_load.cc"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["g++", "-std=c++23", "-O2", "-o", program, source], check=True)
    return program


def load(program, port, n_streams, n_tokens, pace_ms):
    command = [program, str(port), str(n_streams), str(n_tokens), str(pace_ms)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def median_of(runs):
    return sorted(runs, key=lambda run: run["events_per_s"])[len(runs) // 2]


def measure_streams(quern):
    program = build_loader()
    table("streams", "tokens/s", "events/s", "tokens in an event", "first event p50 / p99 ms")
    with Server(quern) as server:
        for n_streams, n_tokens in ((1, 40_000), (100, 1_500), (1_000, 150)):
            best = median_of([load(program, server.port, n_streams, n_tokens, 0) for _ in range(ROUNDS)])
            first = best["first_ms"]
            row(n_streams, f"{best['tokens_per_s']:,.0f}", f"{best['events_per_s']:,.0f}",
                f"{best['tokens_per_event']:.1f}", f"{first['p50']:.1f} / {first['p99']:.1f}")
    table("streams", "paced at", "events/s", "late p50 ms", "p99 ms", "max ms")
    for n_streams, pace_ms, n_tokens in ((100, 20, 200), (100, 5, 800), (100, 2, 2000), (1_000, 50, 80), (1_000, 25, 160)):
        with Server(quern, pace_ms) as server:
            best = median_of([load(program, server.port, n_streams, n_tokens, pace_ms) for _ in range(ROUNDS)])
        late = best["late_ms"]
        row(n_streams, f"{pace_ms} ms", f"{best['events_per_s']:,.0f}", *(f"{late[q]:.2f}" for q in ("p50", "p99", "max")))


# ---- memory ----


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within a minute"
        time.sleep(0.05)


def open_connections(server, n, request=b""):
    sockets = []
    for _ in range(n):
        s = socket.create_connection(("127.0.0.1", server.port))
        if request:
            s.sendall(request)
        sockets.append(s)
    return sockets


def measure_memory(quern):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    table("what", "number", "bytes each")
    get = b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n"
    for name, request in (("idle connection, never used", b""), ("idle connection after a request", get)):
        with Server(quern) as server:
            server.metric("quern_connections")
            before = server.resident_bytes()
            sockets = open_connections(server, N_IDLE, request)
            wait_for(lambda: server.metric("quern_connections") > N_IDLE)
            for s in sockets if request else []:
                s.recv(4096)
            row(name, f"{N_IDLE:,}", f"{(server.resident_bytes() - before) // N_IDLE:,}")
            for s in sockets:
                s.close()
    body = json.dumps({"model": "load", "stream": True, "max_tokens": 100_000, "messages": [{"role": "user", "content": "x"}]})
    chat = ("POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n{body}").encode()
    with Server(quern, 1000) as server, contextlib.ExitStack() as stack:
        server.metric("quern_connections")
        before = server.resident_bytes()
        for s in open_connections(server, 1000, chat):
            stack.callback(s.close)
        wait_for(lambda: server.metric("quern_generations_running") >= 1000)
        time.sleep(2)
        row("stream under way", "1,000", f"{(server.resident_bytes() - before) // 1000:,}")


PARTS = {"whole": measure_whole, "streams": measure_streams, "memory": measure_memory}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quern", default="build/quern")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; default: all")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    for part in arguments.parts or PARTS:
        PARTS[part](arguments.quern)


if __name__ == "__main__":
    main()
