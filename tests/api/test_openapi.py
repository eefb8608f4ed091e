"""/openapi.json: every body that it refuses is refused, and every body that is answered is described by it. (wire.py
checks the second for all requests of all tests.)"""

import json
import random

import jsonschema
import pytest

MESSAGES = [{"role": "user", "content": "hello"}]
CHAT = {"model": "demo", "messages": MESSAGES, "max_tokens": 2}
TEXT = {"model": "demo", "prompt": "hello", "max_tokens": 2}
# Of each shape one route, and a body that it answers.
BODIES = {
    "/v1/chat/completions": CHAT,
    "/v1/chat/ds-test": {"model": "batch-test-model", "messages": MESSAGES},
    "/v1/completions": TEXT,
    "/v1/fim/completions": TEXT,
    "/v1/responses": {"model": "demo", "input": "hello", "max_output_tokens": 2},
    "/v1/responses/input_tokens": {"model": "demo", "input": "hello"},
    "/v1/messages": {"model": "demo", "messages": MESSAGES, "max_tokens": 2},
    "/v1/messages/count_tokens": {"model": "demo", "messages": MESSAGES},
    "/api/v1/services/aigc/text-generation/generation": {
        "model": "demo", "input": {"messages": MESSAGES}, "parameters": {"max_tokens": 2}},
    "/api/v1/tokenizer": {"model": "demo", "input": {"prompt": "hello"}},
    "/v1/qwen3-coder-plus": {"messages": MESSAGES, "max_tokens": 2},
    "/completion": {"prompt": "hello", "n_predict": 2},
    "/infill": {"input_prefix": "a", "input_suffix": "b", "n_predict": 2},
    "/tokenize": {"content": "hello"},
    "/detokenize": {"tokens": [1, 2]},
    "/apply-template": {"messages": MESSAGES},
    "/v1/chat/completions/input_tokens": {"messages": MESSAGES},
    "/api/chat": {"model": "demo", "messages": MESSAGES, "options": {"num_predict": 2}},
    "/api/generate": {"model": "demo", "prompt": "hello", "options": {"num_predict": 2}},
    "/api/show": {"model": "demo"},
}
VALUES = [
    None, True, False, 0, 1, 2, -1, -2, 3.0, 0.5, 1.5, 100.5, 1e9, 2**31, 2**63, -(2**63), 1e300, "", "x", "text", "auto",
    "json_object", [], [None], [1], [1.5], ["x"], [[]], [{}], {}, {"type": "x"}, {"type": "text"}, {"type": 1},
    {"name": "x"}, {"include_usage": 1}, {"format": {"type": "nothing"}}, {"messages": 1}, {"temperature": "hot"},
]


@pytest.fixture(scope="module")
def described(scripted):
    return scripted.get("/openapi.json").json()


def schema_of(described, path):
    return described["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]


def check(server, validator, path, body):
    """Whether it was answered."""
    answer = server.request("POST", path, body)
    fitted = "the script has nothing to send" not in answer.text  # what is asked for is no fault of the request
    assert answer.status < 500 or not fitted, (path, body, answer.text)
    valid = validator.is_valid(body)
    assert valid or answer.status == 400, (path, body, answer.status, answer.text)
    return answer.status == 200


def test_it_is_a_description_of_every_route(described):
    assert described["openapi"] == "3.1.0"
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            if method != "post":
                continue
            for kind, content in operation["requestBody"]["content"].items():
                jsonschema.Draft202012Validator.check_schema(content["schema"])
                described_fields = content["schema"].get("properties")
                assert described_fields or path.endswith("/cancel"), (path, kind)
    paths = {path for path, operations in described["paths"].items() if "post" in operations}
    mounts = ("/openai/v1", "/compatible-mode/v1", "/api/v2/apps/protocols/compatible-mode/v1", "/anthropic", "/apps/anthropic")
    own = {path for path in paths if not path.startswith(mounts) and (path.startswith(("/v1/", "/api/")) or "/v1" + path not in paths)}
    rest = {"/v1/files", "/v1/batches", "/v1/batches/{id}/cancel", "/v1/chat/completions/{id}", "/v1/qwen3-coder-flash"}
    assert own == set(BODIES) | rest


@pytest.mark.parametrize("path", BODIES)
def test_what_it_refuses_is_refused(scripted, described, path):
    schema = schema_of(described, path)
    validator = jsonschema.Draft202012Validator(schema)
    base = BODIES[path]
    assert check(scripted, validator, path, base), "the base body is answered"
    n_refused = 0
    for name in schema["properties"]:
        check(scripted, validator, path, {k: v for k, v in base.items() if k != name})
        for value in VALUES:
            body = {**base, name: value}
            n_refused += not validator.is_valid(body)
            check(scripted, validator, path, body)
    assert n_refused > len(schema["properties"]), "the schema says something"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"])
def test_random_bodies(scripted, described, path):
    schema = schema_of(described, path)
    validator = jsonschema.Draft202012Validator(schema)
    rng = random.Random(path)
    names = list(schema["properties"])
    for _ in range(150):
        body = dict(BODIES[path])
        for name in rng.sample(names, rng.randrange(1, 6)):
            body[name] = rng.choice(VALUES)
        for unknown in range(rng.randrange(2)):
            body[f"unknown{unknown}"] = rng.choice(VALUES)
        check(scripted, validator, path, json.loads(json.dumps(body)))
