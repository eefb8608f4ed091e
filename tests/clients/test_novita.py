"""A provider's guide for coding agents, as programs of our own with requests: a first question, a loop whose decisions are
JSON, and decisions that a schema binds. Raw HTTP, so nothing is forgiven by a client library."""
import json

import jsonschema
import pytest
import requests

from client_servers import PROGRAM_S

MODEL = "qwen/qwen3-coder-next"
ACTIONS = ["inspect_file", "search_code", "propose_patch", "finish"]
DECISION = {
    "type": "object",
    "properties": {
        "action": {"type": "string", "enum": ACTIONS},
        "path": {"type": "string", "maxLength": 40},
        "query": {"type": "string", "maxLength": 40},
        "rationale": {"type": "string", "maxLength": 60},
        "risk": {"type": "string", "maxLength": 60},
    },
    "required": ["action", "rationale", "risk"],
    "additionalProperties": False,
}
PLANNER = {
    "role": "system",
    "content": "You plan the work of a coding agent. Return JSON only; its action is one of " + ", ".join(ACTIONS) + ".",
}


def ask(server, messages, **more):
    answer = requests.post(
        server.base + "/openai/v1/chat/completions",
        headers={"Authorization": "Bearer sk-none", "Content-Type": "application/json"},
        json={"model": MODEL, "messages": messages, "temperature": 0, **more},
        timeout=PROGRAM_S,
    )
    answer.raise_for_status()
    [choice] = answer.json()["choices"]
    assert answer.json()["usage"]["total_tokens"] > 0
    return choice


def test_a_first_question(server):
    content = "Review this function for bugs:\n\ndef normalize(items):\n    return [x.strip().lower() for x in items]\n"
    choice = ask(server, [{"role": "user", "content": content}], max_tokens=64)
    assert choice["message"]["content"]
    if server.scripted:
        assert choice["message"]["content"] == "One edge case: an item that is None."


def test_an_agent_loop_of_json_decisions(scripted):
    """The application acts, the model decides: every decision is an object, and the loop ends by the model's word."""
    files = {"users.py": "def normalize_user(user):\n    return user['email'].strip()\n"}
    messages = [PLANNER, {"role": "user", "content": "Why does it crash when email is missing? Begin with the next step."}]
    actions = []
    while not actions or actions[-1] != "finish":
        assert len(actions) < 4, "the loop has no end"
        choice = ask(scripted, messages, max_tokens=400, response_format={"type": "json_object"})
        decision = json.loads(choice["message"]["content"])
        actions.append(decision["action"])
        messages.append(choice["message"])
        if decision["action"] == "inspect_file":
            messages.append({"role": "user", "content": "Observation:\n" + files[decision["path"]]})
    assert actions == ["inspect_file", "finish"]
    assert decision["final_answer"] == "Check email before strip."


@pytest.mark.parametrize("stream", [False, True])
def test_json_mode_is_an_object_whatever_the_model_is(server, stream):
    body = {"model": MODEL, "messages": [PLANNER, {"role": "user", "content": "hello"}], "max_tokens": 200, "seed": 1,
            "response_format": {"type": "json_object"}, "stream": stream}
    answer = requests.post(server.base + "/openai/v1/chat/completions", json=body, timeout=PROGRAM_S)
    assert answer.status_code == 200, answer.text
    if stream:
        frames = [frame.removeprefix("data: ") for frame in answer.content.decode().split("\n\n") if frame]
        assert frames.pop() == "[DONE]"
        choices = [json.loads(frame)["choices"][0] for frame in frames]
        text, finish = "".join(c["delta"].get("content") or "" for c in choices), choices[-1]["finish_reason"]
    else:
        [choice] = answer.json()["choices"]
        text, finish = choice["message"]["content"], choice["finish_reason"]
    if finish == "stop":
        assert isinstance(json.loads(text), dict)
    else:
        assert text.lstrip().startswith("{") and finish == "length"


def test_a_schema_binds_the_decision(server):
    choice = ask(
        server,
        [{"role": "system", "content": "Return the next decision as structured JSON."},
         {"role": "user", "content": "Find the safest first step for a failing login test."}],
        max_tokens=400,
        response_format={"type": "json_schema",
                         "json_schema": {"name": "coding_agent_decision", "schema": DECISION, "strict": True}},
    )
    assert choice["finish_reason"] == "stop"
    jsonschema.validate(json.loads(choice["message"]["content"]), DECISION)
