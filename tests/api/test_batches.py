"""Files and batches against the program: uploads over the wire, and batches that are killed at any instant."""

import json
import random
import subprocess
import time

import pytest
from fake_upstream import FakeUpstream, hangs, says
from wire import LIMIT_S, QUERN, ROOT, Server, open_stream, wait_until

CHAT = "/v1/chat/completions"


@pytest.fixture
def start(tmp_path):
    """Starts the same server again and again on one data directory: start("--flag", ...)."""
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"rules": [
        {"match": "fault", "text": "x", "fault": {"kind": "error", "code": "internal", "message": "broken"}},
        {"match": "slow", "text": "one two three four five", "delay_ms": 2},
        {"text": "hello"},
    ]}))
    servers = []

    def run(*args):
        servers.append(Server("--script", script, "--name", "demo", "--data-dir", tmp_path / "data", *args))
        return servers[-1]

    yield run
    for server in servers:
        server.stop()


def line(custom_id, text, **more):
    body = {"model": "demo", "messages": [{"role": "user", "content": text}], **more}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}) + "\n"


def form(content, boundary="b0undary"):
    head = f'--{boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--{boundary}\r\n' \
           'content-disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n'
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode()


def upload(server, content, **headers):
    answer = server.request("POST", "/v1/files", form(content),
                            {"content-type": "multipart/form-data; boundary=b0undary", **headers})
    return answer


def create(server, content):
    file = upload(server, content.encode()).json()
    batch = server.request("POST", "/v1/batches", {"input_file_id": file["id"], "endpoint": CHAT,
                                                   "completion_window": "24h"}).json()
    assert batch["object"] == "batch", batch
    return batch["id"]


def get(server, batch):
    return server.request("GET", f"/v1/batches/{batch}").json()


def is_over(batch):
    return batch["status"] in ("completed", "failed", "expired", "cancelled")


def results(server, batch):
    """custom_id -> (which file, status, text or error), in the files' order."""
    found = {}
    for which in ("output_file_id", "error_file_id"):
        if not batch[which]:
            continue
        for text in server.request("GET", f"/v1/files/{batch[which]}/content").body.decode().splitlines():
            row = json.loads(text)
            assert row["custom_id"] not in found
            body = row["response"]["body"]
            said = body["choices"][0]["message"]["content"] if "choices" in body else body["error"]["code"]
            found[row["custom_id"]] = (which, row["response"]["status_code"], said)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_instant_it_ends_as_if_it_never_was(start, seed):
    rng = random.Random(seed)
    words = ["fault", "slow", "hello"]
    asked = {f"r{i}": rng.choice(words) for i in range(rng.randrange(60, 160))}
    content = "".join(line(key, text) for key, text in asked.items())
    server = start()
    batch = create(server, content)
    n_kills = 0
    while True:
        time.sleep(rng.random() * 0.25)
        state = get(server, batch)
        if is_over(state) and n_kills >= 3:
            break
        n_kills += 1
        server.kill()
        server = start()
        if n_kills == 12:
            wait_until(lambda: is_over(get(server, batch)), "the batch ends")
    state = get(server, batch)
    assert state["status"] == "completed", state
    n_faults = sum(text == "fault" for text in asked.values())
    assert state["request_counts"] == {"total": len(asked), "completed": len(asked) - n_faults, "failed": n_faults}
    expected = {
        "fault": ("error_file_id", 500, "internal_error"),
        "slow": ("output_file_id", 200, "one two three four five"),
        "hello": ("output_file_id", 200, "hello"),
    }
    found = results(server, state)
    assert found == {key: expected[text] for key, text in asked.items()}
    for which in ("output_file_id", "error_file_id"):
        order = [key for key, row in found.items() if row[0] == which]
        assert order == sorted(order, key=lambda key: int(key[1:]))
    files = server.request("GET", "/v1/files").json()["data"]
    assert len(files) == 1 + bool(state["output_file_id"]) + bool(state["error_file_id"])


def test_kept_answers_survive_a_kill(start):
    server = start()
    first = server.request("POST", "/v1/responses", {"model": "demo", "input": "hello"}).json()
    chat = server.request("POST", CHAT, {"model": "demo", "store": True, "metadata": {"k": "v"},
                                         "messages": [{"role": "user", "content": "hello"}]}).json()
    server.kill()
    server = start()
    assert server.request("GET", f"/v1/responses/{first['id']}").json() == first
    second = server.request("POST", "/v1/responses", {"model": "demo", "input": "more",
                                                      "previous_response_id": first["id"]})
    assert second.status == 200
    assert server.request("GET", f"{CHAT}/{chat['id']}").json() == {**chat, "metadata": {"k": "v"}}
    other = {"authorization": "Bearer other"}
    assert server.request("GET", f"/v1/responses/{first['id']}", headers=other).status == 404


def test_a_large_file_goes_through_the_disk(start):
    server = start("--max-file-bytes", "200MiB")
    content = bytes(range(256)) * (4096 * 120)  # 120 MiB, beyond what a body in memory may have
    before = peak_memory(server)
    file = upload(server, content).json()
    assert file["bytes"] == len(content)
    assert server.request("GET", f"/v1/files/{file['id']}/content").body == content
    assert peak_memory(server) - before < 40 << 20


def peak_memory(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
        return next(int(row.split()[1]) * 1024 for row in status if row.startswith("VmHWM"))


def test_what_is_too_large_is_refused_before_it_is_sent(start):
    server = start("--max-file-bytes", "1MiB")
    assert upload(server, b"x" * (1 << 20)).status == 200
    answer = upload(server, b"x" * ((1 << 20) + 1))
    assert (answer.status, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert "max_file_bytes" in answer.json()["error"]["message"]
    s = server.socket()
    s.sendall(b"POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=b\r\n"
              b"content-length: 99999999\r\n\r\n")
    assert s.recv(1000).startswith(b"HTTP/1.1 413 ")
    s.close()


def test_an_upload_without_the_key_is_not_read(start):
    server = start("--api-key", "right")
    s = server.socket()
    s.sendall(b"POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=b\r\n"
              b"content-length: 400000000\r\n\r\n")
    assert s.recv(1000).startswith(b"HTTP/1.1 401 ")
    s.close()
    assert upload(server, b"{}", authorization="Bearer right").status == 200


def test_a_broken_upload_leaves_nothing(start, tmp_path):
    server = start()
    whole = form(b"x" * 3_000_000)
    for cut in (0, 10, 200, 1_000_000, len(whole) - 3):
        s = server.socket()
        s.sendall(b"POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=b0undary\r\n"
                  b"content-length: %d\r\n\r\n" % len(whole) + whole[:cut])
        s.close()
    wait_until(lambda: not any((tmp_path / "data/files").iterdir()), "the pieces are gone")
    assert server.request("GET", "/v1/files").json()["data"] == []
    for body in (b"", b"--b0undary", b"--b0undary--", b"x" * 10_000):
        answer = server.request("POST", "/v1/files", body, {"content-type": "multipart/form-data; boundary=b0undary"})
        assert answer.status == 400 and answer.json()["error"]["code"]


def test_interactive_requests_do_not_wait_for_a_batch(start):
    server = start("--max-running", "2", "--max-waiting", "0", "--batch-parallel", "8")
    batch = create(server, "".join(line(f"r{i}", "slow") for i in range(200)))
    wait_until(lambda: get(server, batch)["request_counts"]["completed"] > 0, "the batch runs")
    for _ in range(20):
        assert server.chat(messages=[{"role": "user", "content": "hello"}]).status == 200, "the queue is never full of batches"
    wait_until(lambda: is_over(get(server, batch)), "the batch ends")
    assert get(server, batch)["request_counts"]["completed"] == 200


def test_two_servers_do_not_share_a_directory(start, tmp_path):
    server = start()
    command = [QUERN, "serve", "--script", tmp_path / "script.json", "--listen", "127.0.0.1:0",
               "--data-dir", tmp_path / "data"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert second.returncode == 1 and "in use by another process" in second.stderr, second.stderr
    assert server.chat(messages=[{"role": "user", "content": "hello"}]).status == 200
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


# ---- models that are elsewhere, or not there yet ----


@pytest.fixture
def configured(tmp_path):
    """Starts the same server again and again with these [[models]] tables and one data directory."""
    config = tmp_path / "quern.toml"
    servers = []

    def run(text, *args):
        config.write_text(text)
        servers.append(Server("--config", config, "--data-dir", tmp_path / "data", *args))
        return servers[-1]

    yield run
    for server in servers:
        server.stop()


def elsewhere(url, **keys):
    lines = ["[[models]]", 'name = "demo"', f'tokenizer = "{ROOT}/models/demo"', 'exchange = "text"', "context = 2048",
             "probe_interval = 0", *(f"{key} = {value}" for key, value in keys.items()),
             "[[models.upstream]]", f'url = "{url}"']
    return "\n".join(lines) + "\n"


def prompts(upstream):
    return [asked.body["prompt"] for asked in upstream.asked]


def test_a_model_elsewhere_is_asked_for_a_batch_when_nobody_else_asks(configured):
    upstream = FakeUpstream(hangs("here"), says("done"))
    try:
        server = configured(elsewhere(upstream.url))
        body = {"model": "demo", "messages": [{"role": "user", "content": "interactive"}]}
        connection, stream = open_stream(server, CHAT, body)
        while b"here" not in stream.readline():
            pass
        batch = create(server, "".join(line(f"r{i}", f"background {i}") for i in range(6)))
        wait_until(lambda: get(server, batch)["status"] == "in_progress", "the batch is checked")
        time.sleep(0.3)
        assert len(upstream.asked) == 1, "it gives way to the answer that is being written"
        stream.close()
        connection.close()
        wait_until(lambda: is_over(get(server, batch)), "the batch ends")
        assert get(server, batch)["request_counts"] == {"total": 6, "completed": 6, "failed": 0}
        assert sorted("background" in prompt for prompt in prompts(upstream)) == [False] + [True] * 6
    finally:
        upstream.close()


def test_a_fleet_takes_batches_beside_other_requests(configured):
    upstream = FakeUpstream(hangs("here"), says("done"))
    try:
        server = configured(elsewhere(upstream.url, background_below=2))
        body = {"model": "demo", "messages": [{"role": "user", "content": "interactive"}]}
        connection, stream = open_stream(server, CHAT, body)
        batch = create(server, line("r1", "background"))
        wait_until(lambda: is_over(get(server, batch)), "the batch ends")
        assert get(server, batch)["request_counts"]["completed"] == 1
        stream.close()
        connection.close()
    finally:
        upstream.close()


def test_a_batch_of_a_model_elsewhere_survives_kills(configured):
    upstream = FakeUpstream(says("done", pieces=4, delay_s=0.02))
    try:
        text = elsewhere(upstream.url)
        server = configured(text)
        batch = create(server, "".join(line(f"r{i}", "x") for i in range(60)))
        for _ in range(3):
            n_before = len(upstream.asked)
            wait_until(lambda: len(upstream.asked) >= n_before + 5, "it works")
            server.kill()
            server = configured(text)
        wait_until(lambda: is_over(get(server, batch)), "the batch ends")
        state = get(server, batch)
        assert state["request_counts"] == {"total": 60, "completed": 60, "failed": 0}
        assert results(server, state) == {f"r{i}": ("output_file_id", 200, "done") for i in range(60)}
    finally:
        upstream.close()


def on_demand(*names):
    keys = f'path = "{ROOT}/models/demo"\nkv_memory = "32MiB"\ncontext = 512\n'
    return "".join(f'[[models]]\nname = "{name}"\n{keys}' for name in names)


def test_batches_load_the_models_they_need(configured):
    server = configured(on_demand("one", "two"))
    batches = {}
    for name in ("one", "two"):
        rows = "".join(line(f"r{i}", "hi", model=name, max_tokens=2, temperature=0) for i in range(3))
        batches[name] = create(server, rows)
    said = set()
    for name, batch in batches.items():
        wait_until(lambda: is_over(get(server, batch)), f"the batch of {name} ends")
        state = get(server, batch)
        assert state["request_counts"] == {"total": 3, "completed": 3, "failed": 0}
        said |= {row[2] for row in results(server, state).values()}
    alone = server.chat("hi", model="one", max_tokens=2).content
    assert said == {alone}, "and say what a request of its own gets"
