"""What editors send while somebody types (docs/clients.md)."""

import json

import pytest
import recorded
from wire import read_events, wait_until

MIDDLE = "a + b"
REPOSITORY = "<|repo_name|>myproject\n<|file_sep|>src/util.py\nimport os\n\n<|file_sep|>README.md\n# Sums\n\n<|file_sep|>filename\n"


@pytest.fixture
def server(serve):
    between = f"<|fim_prefix|>{recorded.CODE_BEFORE}<|fim_suffix|>{recorded.CODE_AFTER}<|fim_middle|>"
    indented = f"<|fim_prefix|>def add(a, b):\n<|fim_suffix|>{recorded.CODE_AFTER}<|fim_middle|>    return "
    return serve([
        {"match": REPOSITORY + indented, "text": "a + b"},
        {"match": between, "text": "a + b"},
        {"text": "no"},
    ])


def test_llama_vscode_asks_for_the_middle(server):
    answer = server.post("/infill", recorded.llama_vscode())
    assert answer.status == 200, answer.text
    filled = answer.json()
    assert filled["content"] == MIDDLE
    assert filled["truncated"] is False and filled["stop"] is True
    assert {"prompt_n", "prompt_ms", "predicted_n", "predicted_ms", "predicted_per_second"} <= set(filled["timings"])
    assert isinstance(filled["tokens_cached"], int)


def test_llama_vscode_warms_the_cache(server):
    """n_predict 0 with the surrounding files, before anybody asks; and an empty request to see whether one is there."""
    warm = recorded.llama_vscode(0, prompt="", samplers=[], t_max_predict_ms=1, response_fields=[""])
    assert server.post("/infill", warm).json()["tokens_predicted"] == 0
    assert server.post("/infill", {"input_prefix": "", "input_suffix": "", "prompt": "", "n_predict": 1}).status == 200


def test_llama_vscode_without_files_or_prompt(server):
    body = recorded.llama_vscode(input_extra=[], prompt="", input_prefix=recorded.CODE_BEFORE)
    assert server.post("/infill", body).json()["content"] == MIDDLE


def test_continue_over_completions(server):
    events = read_events(server.post("/v1/completions", recorded.continue_completions()).body)
    assert "".join(event["choices"][0]["text"] for event in events[:-1]) == MIDDLE
    assert events[-2]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("body", [recorded.continue_ollama(), recorded.continue_ollama_suffix()], ids=["raw", "suffix"])
def test_continue_over_ollama(server, body):
    answer = server.post("/api/generate", body)
    assert answer.status == 200, answer.text
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert "".join(line["response"] for line in lines) == MIDDLE
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert lines[-1]["done_reason"] == "stop"


def test_continue_over_llama_cpp(server):
    answer = server.post("/completion", recorded.continue_llamacpp())
    assert answer.status == 200, answer.text
    frames = [json.loads(frame.removeprefix("data: ")) for frame in answer.text.split("\n\n") if frame]
    assert "".join(frame["content"] for frame in frames) == MIDDLE
    assert [frame["stop"] for frame in frames] == [False] * (len(frames) - 1) + [True]


def test_continue_over_the_fim_route(server):
    events = read_events(server.post("/v1/fim/completions", recorded.continue_fim()).body)
    assert "".join(event["choices"][0]["delta"].get("content") or "" for event in events[:-1]) == MIDDLE


def test_an_editor_that_types_on_leaves_nothing_behind(serve):
    """Every key stroke drops the request before: the connections are closed without reading the answer."""
    server = serve([{"text": "late", "first_delay_ms": 60_000}])
    data = json.dumps(recorded.llama_vscode()).encode()
    head = f"POST /infill HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n".encode()
    for _ in range(20):
        with server.socket() as s:
            s.sendall(head + data)
    wait_until(lambda: server.metric("quern_generations_running") + server.metric("quern_generations_waiting") == 0,
               "what nobody waits for is given up")
