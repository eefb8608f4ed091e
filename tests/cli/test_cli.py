"""The terminal programs, run as a person runs them. QUERN_BIN names the program (default build/quern).

The model in the box answers where a model is needed; scripts answer where it matters what is said.
"""
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUERN = str((ROOT / os.environ.get("QUERN_BIN", "build/quern")).resolve())
DEMO = ROOT / "models/demo"
GGUF = ROOT / "tests/golden/formats/moe.gguf"
LIMIT_S = 120


def run(*args, stdin="", cwd=None, env=None):
    return subprocess.run(
        [QUERN, *map(str, args)],
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        cwd=cwd,
        env=env,
        timeout=LIMIT_S,
        check=False,
    )


def ok(*args, **kwargs):
    done = run(*args, **kwargs)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def script(tmp_path, rules, **more):
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"rules": rules, **more}))
    return path


# ---- command line ----


def test_help_everywhere():
    assert "Examples" in ok("--help")
    commands = ["serve", "chat", "complete", "inspect", "tokenize", "quantize", "imatrix", "kl", "bench", "plan", "pack",
                "version"]
    for command in commands:
        text = ok(command, "--help")
        assert "Example" in text and f"quern {command}" in text


def test_version():
    assert re.match(r"quern \d+\.\d+\.\d+\n", ok("version"))
    assert ok("--version") == ok("version")


@pytest.mark.parametrize(
    "args, code, words",
    [
        ([], 2, "serve, chat, complete"),
        (["srve"], 2, "did you mean serve?"),
        (["serve", "--thread", "2"], 2, "did you mean --threads?"),
        (["serve", "--threads", "two"], 2, "--threads must be a whole number"),
        (["serve", "--listen", "nowhere"], 2, "--listen must be HOST:PORT"),
        (["serve", "--kv-memory", "much"], 2, "--kv-memory must be a size"),
        (["complete", "x.py:1", "--kv-type", "q5"], 2, "--kv-type must be f32, i16, f16, bf16, q8 or q4"),
        (["serve", "--config", "/nonexistent.toml"], 2, "/nonexistent.toml"),
        (["serve", "--model", "/nonexistent"], 1, "there is no model at /nonexistent"),
        (["serve", "--api-key-file", "/nonexistent"], 1, "/nonexistent"),
        (["serve", "--script", "/nonexistent"], 1, "/nonexistent"),
        (["bench", "--depth", "0,-5"], 1, "--depth -5: expected 0 to"),
        (["bench", "--format", "xml"], 1, "expected table, json or csv"),
        (["bench", "--isa", "mmx"], 1, "mmx"),
        (["bench", "--prompt", "9999999"], 1, "the model's context is"),
        (["inspect", "/nonexistent"], 1, "there is no model at /nonexistent"),
        (["inspect", __file__], 1, "test_cli.py"),
        (["complete"], 2, "FILE:LINE"),
        (["complete", "x.py"], 1, "FILE:LINE"),
        (["complete", "/nonexistent.py:1"], 1, "/nonexistent.py"),
        (["complete", f"{__file__}:999999"], 1, "there is no line 999999"),
        (["complete", f"{__file__}:1:999"], 1, "characters"),
        (["tokenize", "--decode", "1 x"], 1, "no token id"),
        (["tokenize", "--decode", "99999999"], 1, "no token id"),
        (["tokenize", "a", "--file", "b"], 1, "both"),
        (["chat"], 1, "there is no message"),
        (["chat", "--top-p", "0", "hi"], 2, "--top-p must be a number"),
    ],
)
def test_mistakes_get_one_sentence(args, code, words):
    done = run(*args)
    text = done.stderr.decode()
    assert done.returncode == code, text
    assert text.startswith("quern: ") and words in text
    assert text.count("\n") == 1, "one sentence, no stack of messages"
    assert done.stdout == b""


def test_config_file(tmp_path):
    config = tmp_path / "quern.toml"
    config.write_text("context = 128\nthreads = 1\n\ncontxt = 5\n")
    done = run("inspect", "--config", config)
    assert done.returncode == 2
    assert f'{config}:4: there is no setting "contxt"; did you mean "context"?' in done.stderr.decode()
    config.write_text("context = 128\nthreads = 1\n")
    assert "one context of 128 tokens" in ok("inspect", "--config", config)
    assert "one context of 64 tokens" in ok("inspect", "--config", config, "--context", 64), "flags win"


# ---- inspect, tokenize ----


def test_runs_from_any_directory(tmp_path):
    assert "architecture   qwen3_moe" in ok("inspect", cwd=tmp_path)


def test_inspect_safetensors_and_gguf():
    text = ok("inspect", DEMO)
    for word in ["safetensors", "parameters", "context", "keys, values", "memory needed", "experts", "bf16"]:
        assert word in text, text
    text = ok("inspect", GGUF)
    assert "GGUF" in text and "qwen3_moe" in text


def test_inspect_and_plan_count_the_multi_token_prediction_head():
    head = ROOT / "tests/golden/mtp/f32"
    text = ok("inspect", head)
    assert "mtp head       predicts the token after the next one" in text
    assert re.search(r"^mtp +17\.9 K +69\.9 KiB  f32$", text, re.M), text
    assert re.search(r"^weights +261\.9 KiB", ok("plan", head), re.M)  # rows fill groups of 16
    assert "mtp" not in ok("inspect", ROOT / "tests/golden/model/qwen3_next_untied/f32")


def test_bench_kv_prints_what_each_type_takes_and_costs():
    text = ok("bench", "kv", "--model", ROOT / "tests/golden/model/qwen3_moe_untied/f32")
    rows = {line.split()[0]: line for line in text.splitlines()[2:-1]}
    assert set(rows) == {"f32", "i16", "f16", "bf16", "q8", "q4", "i16,q8", "q8,i16", "q8,q4", "q4,q8"}
    kl = {name: float(re.search(r"(?:B|bytes) +([0-9.e+-]+) ", row)[1]) for name, row in rows.items()}
    assert kl["f32"] == 0 and kl["i16"] < kl["f16"] < kl["bf16"] and kl["q8"] < kl["q8,q4"] <= 2 * kl["q4"]
    assert "100.00 %" in rows["f32"] and "KL in nats" in text


def test_inspect_prints_bytes_per_token_of_each_kv_type():
    text = ok("inspect", DEMO)
    kib = {m[1]: float(m[2]) for m in re.finditer(r"^(i16|f16|bf16|q8|q4) +([0-9.]+) KiB", text, re.M)}
    assert kib["bf16"] == kib["f16"]
    assert kib["q8"] / kib["f16"] == pytest.approx(8.5 / 16, rel=0.02)
    assert kib["q4"] / kib["f16"] == pytest.approx(4.5 / 16, rel=0.03)
    assert " in i16\n" in text and " in q8,q4\n" in ok("inspect", DEMO, "--kv-type", "q8,q4")


def test_tokenize_round_trip():
    text = "def f(x):\n    return 'käse 你好 🙂'  # <|im_end|>\n"
    ids = json.loads(ok("tokenize", "--ids", stdin=text))
    assert ids and all(isinstance(i, int) for i in ids)
    assert ok("tokenize", "--decode", stdin=json.dumps(ids)) == text
    assert int(ok("tokenize", "--count", text)) == len(ids)
    lines = ok("tokenize", text).splitlines()
    assert [int(line.split("\t")[0]) for line in lines] == ids


def test_tokenize_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("hello world")
    assert ok("tokenize", "--file", path) == ok("tokenize", "hello world")
    assert ok("tokenize", "--file", path) == ok("tokenize", stdin="hello world")


# ---- chat ----


def test_chat_without_a_terminal(tmp_path):
    answers = script(tmp_path, [{"match": ["review", "the diff"], "text": "Looks good."}, {"text": "What?"}])
    assert ok("chat", "review this", "--script", answers, stdin="the diff") == "Looks good.\n"
    assert ok("chat", "--script", answers, stdin="the diff, review it") == "Looks good.\n"
    assert ok("chat", "hello", "--script", answers) == "What?\n"


def test_chat_reports_a_failing_model(tmp_path):
    answers = script(tmp_path, [{"text": "a b c", "fault": {"kind": "error", "at": 2, "message": "out of ink"}}])
    done = run("chat", "hello", "--script", answers)
    assert done.returncode == 1 and b"out of ink" in done.stderr


def test_chat_is_repeatable():
    args = ["chat", "Tell me something.", "--max-tokens", 24]
    assert ok(*args, "--temperature", 0) == ok(*args, "--temperature", 0, "--threads", 1)
    assert ok(*args, "--temperature", 1, "--seed", 7) == ok(*args, "--temperature", 1, "--seed", 7)


class Terminal:
    """quern on a pseudo-terminal."""

    def __init__(self, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(QUERN, [QUERN, *map(str, args)])
        self.text = ""

    def expect(self, words):
        """Waits for words to appear after what was expected before; fails after a while."""
        end = time.monotonic() + LIMIT_S
        while words not in self.text:
            assert time.monotonic() < end, f"waited for {words!r}, saw {self.text!r}"
            if select.select([self.fd], [], [], 0.5)[0]:
                try:
                    self.text += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    assert words in self.text, f"ended without {words!r}: {self.text!r}"
        self.text = self.text.split(words, 1)[1]

    def send(self, text):
        os.write(self.fd, text.encode())

    def exit_code(self):
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    os.read(self.fd, 65536)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError("did not end")


def test_chat_on_a_terminal(tmp_path):
    answers = script(
        tmp_path,
        [
            {"match": ["first", "Answer one", "second"], "text": "Answer two"},
            {"match": "endless", "text": "blah ", "finish": "length", "delay_ms": 5},
            {"match": "first", "text": "Answer one"},
            {"match": "two\nlines", "text": "Both seen"},
        ],
        context_length=100000,
    )
    terminal = Terminal("chat", "--script", answers)
    terminal.expect("> ")
    terminal.send("first\n")
    terminal.expect("Answer one")
    terminal.expect("> ")
    terminal.send("second\n")
    terminal.expect("Answer two")
    terminal.expect("> ")
    terminal.send("/reset\n")
    terminal.expect("> ")
    terminal.send("two\\\nlines\n")
    terminal.expect("Both seen")
    terminal.expect("> ")
    terminal.send("/tokns\n")
    terminal.expect("did you mean /tokens?")
    terminal.expect("> ")
    terminal.send("endless\n")
    terminal.expect("blah blah")
    terminal.send("\x03")  # stops the answer, not the program
    terminal.expect("(stopped)")
    terminal.expect("> ")
    terminal.send("/tokens\n")
    terminal.expect("of 100000 tokens")
    terminal.expect("> ")
    terminal.send("\x03")
    terminal.expect("Ctrl-D leaves)")
    terminal.expect("> ")
    terminal.send("\x04")
    assert terminal.exit_code() == 0


def test_second_interrupt_at_the_prompt_leaves(tmp_path):
    terminal = Terminal("chat", "--script", script(tmp_path, [{"text": "a"}]))
    terminal.expect("> ")
    terminal.send("\x03")
    terminal.expect("> ")
    terminal.send("\x03")
    assert terminal.exit_code() == 130


# ---- complete ----


def test_complete_prints_the_insertion(tmp_path):
    source = tmp_path / "sort.py"
    source.write_text("def f(a):\n    x = a[0\n    return é\n")
    # The prompt has the text before the place, then the text after it.
    answers = script(
        tmp_path,
        [
            {"match": "<|fim_prefix|>def f(a):\n    x = a[0<|fim_suffix|>\n    return é\n<|fim_middle|>", "text": "] + 1"},
            {"match": "<|fim_prefix|>def f(a):\n    x = a[0\n    return é<|fim_suffix|>\n<|fim_middle|>", "text": "tude"},
        ],
    )
    assert ok("complete", f"{source}:2", "--script", answers) == "] + 1"
    assert ok("complete", f"{source}:3:13", "--script", answers) == "tude"


def test_complete_with_the_model_in_the_box(tmp_path):
    source = tmp_path / "a.py"
    source.write_text("def add(a, b):\n    return \n\n\nprint(add(1, 2))\n")
    first = ok("complete", f"{source}:2", "--max-tokens", 16)
    assert first == ok("complete", f"{source}:2", "--max-tokens", 16)
    assert "<|" not in first


# ---- serve ----


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def serve(*args):
    return subprocess.Popen([QUERN, "serve", *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_serve_says_one_line_and_a_curl_that_works():
    port = free_port()
    server = serve("--listen", f"127.0.0.1:{port}")
    try:
        assert server.stdout.readline() == f"listening on http://127.0.0.1:{port}\n"
        curl = server.stdout.readline()
        assert curl.startswith(f"curl http://127.0.0.1:{port}/v1/chat/completions ")
        answered = subprocess.run(curl, shell=True, capture_output=True, timeout=LIMIT_S, check=True)
        assert json.loads(answered.stdout)["choices"][0]["message"]["content"]
    finally:
        server.send_signal(signal.SIGTERM)
        rest, _ = server.communicate(timeout=LIMIT_S)
    assert server.returncode == 0
    assert rest == "", "nothing else on standard output"


def test_serve_with_settings_from_a_file(tmp_path):
    script(tmp_path, [{"text": "scripted"}])
    config = tmp_path / "quern.toml"
    config.write_text('listen = "127.0.0.1:0"\nscript = "script.json"\nname = "mine"\nalias = ["yours"]\napi_key = "sk-1"\n')
    server = serve("--config", config)
    try:
        url = server.stdout.readline().split()[-1]
        assert "$QUERN_API_KEY" in server.stdout.readline()
        for name in ["mine", "yours"]:
            request = urllib.request.Request(
                url + "/v1/chat/completions",
                json.dumps({"model": name, "messages": [{"role": "user", "content": "hi"}]}).encode(),
                {"content-type": "application/json", "authorization": "Bearer sk-1"},
            )
            with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
                assert json.load(answer)["choices"][0]["message"]["content"] == "scripted"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(url + "/v1/models", timeout=LIMIT_S)
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=LIMIT_S)
    assert server.returncode == 0


def test_serve_refuses_what_would_be_open_to_all(tmp_path):
    done = run("serve", "--listen", "0.0.0.0:0")
    assert done.returncode == 1 and b"key" in done.stderr
    empty = tmp_path / "keys.txt"
    empty.write_text("# no key\n\n")
    done = run("serve", "--listen", "127.0.0.1:0", "--api-key-file", empty)
    assert done.returncode == 1 and b"holds no key" in done.stderr


def test_serve_names_a_taken_address():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        done = run("serve", "--listen", f"127.0.0.1:{s.getsockname()[1]}")
    assert done.returncode == 1
    assert b"127.0.0.1" in done.stderr


def test_context_beyond_the_models_own_proposes_yarn_and_says_what_it_costs():
    done = run("chat", "hi", "--context", "10000")
    assert done.returncode == 1
    for words in [b"10000 is beyond the 4096 tokens", b"--yarn 2.5 stretches its positions to 10240", b"40.3 MiB"]:
        assert words in done.stderr, done.stderr
    done = run("chat", "hi", "--context", "10000", "--yarn", "2")
    assert done.returncode == 1 and b"beyond the 8192 tokens" in done.stderr and b"--yarn 2.5" in done.stderr
    done = run("chat", "hi", "--context", "1000000")
    assert done.returncode == 1 and b"at most 32 times" in done.stderr
    assert run("chat", "hi", "--context", "10000", "--yarn", "2.5", "--max-tokens", "4").returncode == 0
    assert run("chat", "hi", "--kv-type", "q8,q4", "--max-tokens", "4").returncode == 0


def test_context_that_does_not_fit_is_refused():
    done = run("chat", "hi", "--context", "4096", "--kv-memory", "1MiB")
    assert done.returncode == 1
    assert b"--context 4096 is not possible" in done.stderr
    done = run("chat", "hi", "--kv-memory", "1")
    assert done.returncode == 1 and b"hold not even one page" in done.stderr


# ---- bench ----


def test_bench_measures_every_combination(tmp_path):
    plot = tmp_path / "depth.svg"
    out = json.loads(
        ok("bench", "--prompt", "16", "--generate", "4", "--depth", "0,32", "--batch", "1,2", "--repeat", "2",
           "--threads", "1", "--format", "json", "--plot", plot)
    )
    rows = [(row["test"], row["depth"], row["sequences"]) for row in out["rows"]]
    assert rows == [("pp16", 0, 1), ("tg4", 0, 1), ("tg4", 0, 2), ("pp16", 32, 1), ("tg4", 32, 1), ("tg4", 32, 2)]
    for row in out["rows"]:
        assert row["repetitions"] == 2 and row["tokens_per_second"] > 0 and row["read_bytes_per_second"] > 1e8
    assert out["rows"][2]["tokens"] == 8
    assert plot.read_text().count("<path") == 3


def test_bench_csv_has_a_column_for_every_json_key():
    flags = ["bench", "--prompt", "8", "--generate", "0", "--repeat", "1", "--threads", "1", "--format"]
    head, line = ok(*flags, "csv").splitlines()
    assert head.split(",") == list(json.loads(ok(*flags, "json"))["rows"][0])
    assert len(line.split(",")) == len(head.split(","))


# ---- memory that is planned ----


def test_plan_adds_up_and_says_what_fits():
    text = ok("plan", GGUF, "--context", "256", "--parallel", "3", "--memory", "1G")
    assert "3 x 256 tokens" in text and "of 1.0 GiB" in text and text.rstrip().endswith("fits")
    done = run("plan", "--context", "4096", "--parallel", "4", "--memory", "80M")
    assert done.returncode == 1
    advice = re.search(r"would fit: --context (\d+)", done.stdout.decode())
    assert advice, done.stdout.decode()
    ok("plan", "--context", advice.group(1), "--parallel", "4", "--memory", "80M")


def test_plan_predicts_for_published_models():
    text = ok("plan", "--predict")
    for words in ["this machine", "30B-A3B", "80B-A3B", "480B-A35B", "16-core desktop"]:
        assert words in text


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--memory", "16M"], "does not fit"),
        (["--memory", "16M"], "--allow-swap-from-disk"),
        (["--memory", "120M", "--kv-memory", "1G"], "would fit: --kv-memory"),
        (["--memory", "48M", "--context", "4096"], "would fit: --context"),
    ],
)
def test_serve_refuses_what_does_not_fit_before_it_loads(flags, words):
    done = run("serve", "--listen", "127.0.0.1:0", *flags)
    assert done.returncode == 1
    assert words in done.stderr.decode()


def test_weights_beyond_the_memory_stay_in_a_packed_file(tmp_path):
    model, source = tmp_path / "demo", tmp_path / "a.py"
    shutil.copytree(DEMO, model)
    source.write_text("def add(a, b):\n    return \n")
    complete = ["complete", f"{source}:2", "--max-tokens", "4", "--model", model]
    small = [*complete, "--memory", "24M", "--allow-swap-from-disk"]
    done = run(*small)
    assert done.returncode == 1 and b"needs a packed file beside demo" in done.stderr, done.stderr
    expected = ok(*complete)
    ok("pack", model)
    assert ok(*small) == expected


# ---- pack ----


def test_pack_is_found_used_and_checked(tmp_path):
    model = tmp_path / "moe.gguf"
    model.write_bytes(GGUF.read_bytes())
    flags = ["bench", model, "--prompt", "8", "--generate", "0", "--repeat", "1", "--threads", "1", "--format", "csv"]
    ok("pack", model)
    packed = tmp_path / "moe.gguf.packed"
    assert "whole" in ok("pack", model, "--check")
    elsewhere = tmp_path / "elsewhere.packed"
    ok("pack", model, elsewhere)
    assert elsewhere.read_bytes() == packed.read_bytes() and "whole" in ok("pack", model, elsewhere, "--check")
    assert run(*flags).stderr == b""
    raw = bytearray(packed.read_bytes())
    raw[200] ^= 1
    packed.write_bytes(raw)
    done = run("pack", model, "--check")
    assert done.returncode == 1 and b"its checksum is wrong" in done.stderr
    packed.write_bytes(raw[:-1])  # torn: not used, and the checkpoint itself still is
    done = run(*flags)
    assert done.returncode == 0 and b"the packed file is not used" in done.stderr


def mapping_of(pid, name):
    """Sums of the lines of /proc/PID/smaps, in KiB, over the mappings of a file."""
    sums, inside = {}, False
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            inside = line.endswith(name)
        elif inside and (found := re.match(r"(\w+): +(\d+) kB", line)):
            sums[found.group(1)] = sums.get(found.group(1), 0) + int(found.group(2))
    return sums


def test_two_servers_on_one_packed_file_share_its_pages(tmp_path):
    model = tmp_path / "demo"
    shutil.copytree(DEMO, model)
    ok("pack", model)
    ports = [free_port(), free_port()]
    servers = [serve("--model", model, "--listen", f"127.0.0.1:{port}") for port in ports]
    try:
        for server, port in zip(servers, ports):
            server.stdout.readline()
            body = json.dumps({"model": "demo", "prompt": "def f(", "max_tokens": 4, "temperature": 0}).encode()
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/completions", body, {"content-type": "application/json"}
            )
            assert json.load(urllib.request.urlopen(request, timeout=LIMIT_S))["usage"]["completion_tokens"] > 0
        for server in servers:
            sums = mapping_of(server.pid, "weights.packed")
            assert sums["Rss"] > 1024, "the matrices are read from the packed file"
            assert sums["Private_Dirty"] == 0 and sums["Anonymous"] == 0
            # The rest are pages that only one of them happened to touch: clean pages of the file all the same.
            assert sums["Shared_Clean"] > 0.5 * sums["Rss"]
    finally:
        for server in servers:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=LIMIT_S)
