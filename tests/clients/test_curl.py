"""curl against every family, with the headers and the spellings that the providers' pages teach."""
import json
import subprocess

import pytest

from client_servers import HERE, PROGRAM_S, Server, serve
from test_openai_python import ASK_QUICK_SORT, FIM, WRITE_FILE

KEY = "sk-curl"
CHAT = "/compatible-mode/v1/chat/completions"
TEXT = "/compatible-mode/v1/completions"
NATIVE = "/api/v1/services/aigc/text-generation/generation"
HELLO = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": "hello"}]
SAID = "Hello! 你好 🙂"
BEGUN = [{"role": "user", "content": "prime numbers"}, {"role": "assistant", "content": "def generate_prime_number", "partial": True}]
PRIMES = "(n):\n    return [i for i in range(2, n) if all(i % d for d in range(2, i))]\n"
MODEL = "qwen3-coder-next"


@pytest.fixture(scope="module")
def locked():
    for base in serve("--script", HERE / "script.json", "--api-key", KEY):
        yield Server(base, True)


def curl(*args):
    done = subprocess.run(["curl", "-sS", "--max-time", str(PROGRAM_S), *args], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def post(url, body, *args, key="Authorization: Bearer " + KEY):
    """The answer's status, and its body read as JSON."""
    text = curl("-X", "POST", url, "-H", key, "-H", "Content-Type: application/json", "-d", json.dumps(body),
                "-w", "\n%{http_code}", *args)
    answer, _, status = text.rpartition("\n")
    return int(status), json.loads(answer)


def of_choice(answer):
    return answer["choices"][0]["message"]["content"]


def of_native(answer):
    return answer["output"]["choices"][0]["message"]["content"]


def of_text(answer):
    return answer["choices"][0]["text"]


CALLS = {
    "chat": (CHAT, {"messages": HELLO}, of_choice, SAID),
    "chat, partial": (CHAT, {"messages": BEGUN}, of_choice, PRIMES),
    "native": (NATIVE, {"input": {"messages": HELLO}, "parameters": {"result_format": "message"}}, of_native, SAID),
    "native, partial": (NATIVE, {"input": {"messages": BEGUN}, "parameters": {"result_format": "message"}}, of_native, PRIMES),
    "native, text": (NATIVE, {"input": {"prompt": "hello"}, "parameters": {"result_format": "text"}}, lambda a: a["output"]["text"], SAID),
    "prefix only": (TEXT, {"model": "qwen-coder-turbo", "prompt": "<|fim_prefix|>def quick_sort(arr):<|fim_suffix|>"},
                    of_text, "\n    return sorted(arr)\n"),
    "prefix and suffix": (TEXT, {"model": "qwen-coder-turbo", "prompt": FIM}, of_text,
                          "left = [x for x in arr if x < pivot]"),
    "another provider's prefix": ("/openai/v1/chat/completions", {"model": "qwen/qwen3-coder-next", "messages": HELLO,
                                  "temperature": 0.2, "max_tokens": 600}, of_choice, SAID),
    "Anthropic's": ("/v1/messages", {"messages": HELLO[1:], "max_tokens": 64}, lambda a: a["content"][0]["text"], SAID),
    "Responses": ("/v1/responses", {"input": "hello"}, lambda a: a["output"][0]["content"][0]["text"], SAID),
}


@pytest.mark.parametrize("name", CALLS)
def test_call(locked, name):
    path, body, text_of, expected = CALLS[name]
    status, answer = post(locked.base + path, {"model": MODEL, **body})
    assert status == 200, answer
    assert text_of(answer) == expected


@pytest.mark.parametrize("path", ["/v1/qwen3-coder-plus", "/v1/qwen3-coder-flash"])
def test_segmind_takes_its_own_key_header(locked, path):
    status, answer = post(locked.base + path, {"messages": HELLO}, key="x-api-key: " + KEY)
    assert (status, of_choice(answer)) == (200, SAID)
    status, answer = post(locked.base + path, {"messages": HELLO}, key="x-api-key: another")
    assert status == 401 and isinstance(answer["error"], str)


@pytest.mark.parametrize("native", [False, True])
def test_the_first_step_of_a_tool_call(locked, native):
    if native:
        body = {"input": {"messages": [ASK_QUICK_SORT]}, "parameters": {"result_format": "message", "tools": [WRITE_FILE]}}
    else:
        body = {"messages": [ASK_QUICK_SORT], "tools": [WRITE_FILE]}
    status, answer = post(locked.base + (NATIVE if native else CHAT), {"model": MODEL, **body})
    assert status == 200, answer
    [choice] = answer["output"]["choices"] if native else answer["choices"]
    assert choice["finish_reason"] == "tool_calls"
    [call] = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "write_file" and call["id"] and call["index"] == 0
    assert json.loads(call["function"]["arguments"])["path"] == "quick_sort.py"


def test_the_header_that_switches_a_native_stream_on(locked):
    body = {"model": MODEL, "input": {"messages": HELLO}, "parameters": {"result_format": "message", "incremental_output": True}}
    text = curl("-N", "-X", "POST", locked.base + NATIVE, "-H", "Authorization: Bearer " + KEY,
                "-H", "Content-Type: application/json", "-H", "X-DashScope-SSE: enable", "-d", json.dumps(body))
    frames = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")]
    assert "".join(of_native(json.loads(frame)) for frame in frames) == SAID


def test_a_stream_arrives_piece_by_piece(locked):
    text = curl("-N", locked.base + CHAT, "-H", "Authorization: Bearer " + KEY, "-H", "Content-Type: application/json",
                "-d", json.dumps({"model": MODEL, "messages": HELLO, "stream": True}))
    frames = [frame.removeprefix("data: ") for frame in text.split("\n\n") if frame]
    assert frames.pop() == "[DONE]"
    assert "".join(json.loads(frame)["choices"][0]["delta"].get("content") or "" for frame in frames) == SAID


def test_a_large_body_waits_for_100_continue(locked):
    """curl asks first when a body is large; the answer must not depend on it."""
    messages = [{"role": "user", "content": "count to five " + "x" * 20_000}]
    args = ["-H", "Expect: 100-continue"]
    status, answer = post(locked.base + CHAT, {"model": MODEL, "messages": messages}, *args)
    assert (status, of_choice(answer)) == (200, "one two three four five")


def test_form_data_is_told_what_to_do(locked):
    """curl -d without a content-type is a form."""
    text = curl(locked.base + CHAT, "-H", "Authorization: Bearer " + KEY, "-d", json.dumps({"model": MODEL, "messages": HELLO}))
    assert "send the body as application/json" in json.loads(text)["error"]["message"]
