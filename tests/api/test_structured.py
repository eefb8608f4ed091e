"""The format of an answer and forced calls hold whatever the model wants: by script, and with the model in the box."""

import json
import random

import jsonschema
import pytest
from answers import CITY_CALL, call

# In a script's text: what is before and behind it is never one token. Where the text may not end it is passed over.
NEXT = "<|endoftext|>"
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "set_alarm",
            "parameters": {
                "type": "object",
                "properties": {
                    "label": {"type": "string", "maxLength": 30},
                    "hour": {"type": "integer", "minimum": 0, "maximum": 23},
                    "days": {"type": "array", "items": {"enum": ["mon", "tue"]}, "maxItems": 2},
                },
                "required": ["label", "hour"],
                "additionalProperties": False,
            },
        },
    },
    {"type": "function", "function": {"name": "stop_alarm", "parameters": {"type": "object", "properties": {}}}},
]


def schema_format(schema, strict=True):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": strict}}


def random_schema(rng, depth=2):
    kind = rng.randrange(8 if depth else 5)
    if kind == 0:
        low = rng.randrange(-50, 50)
        return {"type": "integer", "minimum": low, "maximum": low + rng.randrange(100)}
    if kind == 1:
        return {"type": "string", "minLength": rng.randrange(3), "maxLength": 3 + rng.randrange(6)}
    if kind == 2:
        return {"type": ["boolean", "null"]}
    if kind == 3:
        return {"enum": ["red", 'a "b"', 7, None, "ünï"][: 1 + rng.randrange(5)]}
    if kind == 4:
        return {"type": "string", "pattern": rng.choice(["^[a-z]{2,4}$", "^x-\\d+$", "a|b"]), "maxLength": 9}
    if kind == 5:
        return {"type": "array", "items": random_schema(rng, depth - 1), "minItems": rng.randrange(2), "maxItems": 3}
    if kind == 6:
        return {"anyOf": [random_schema(rng, depth - 1), random_schema(rng, depth - 1)]}
    names = [f"k{i}" for i in range(rng.randrange(1, 4))]
    return {
        "type": "object",
        "properties": {name: random_schema(rng, depth - 1) for name in names},
        "required": [name for name in names if rng.random() < 0.6],
        "additionalProperties": False,
    }


# ---- the model in the box ----


@pytest.mark.parametrize("seed", range(25))
def test_random_schemas_hold_for_a_wild_model(demo, seed):
    """At temperature 2 the model in the box writes nearly anything that it may."""
    rng = random.Random(seed)
    schema = random_schema(rng)
    answer = demo.chat(
        "x", response_format=schema_format(schema), temperature=2, top_p=1, top_k=0, seed=seed, max_tokens=400
    )
    if answer.choice["finish_reason"] == "length":
        return
    assert answer.choice["finish_reason"] == "stop"
    jsonschema.validate(json.loads(answer.content), schema)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("temperature", [0, 1])
def test_json_schema(demo, stream, temperature):
    fields = {"response_format": schema_format(PERSON), "temperature": temperature, "seed": 3, "max_tokens": 300}
    if stream:
        events = demo.chat_events("Describe Ann.", **fields)
        text = "".join(e["choices"][0]["delta"].get("content") or "" for e in events[:-1])
    else:
        text = demo.chat("Describe Ann.", **fields).content
    jsonschema.validate(json.loads(text), PERSON)


def test_json_object(demo):
    answer = demo.chat("Answer in JSON.", response_format={"type": "json_object"}, temperature=1, seed=1, max_tokens=500)
    assert answer.content.startswith("{")
    if answer.choice["finish_reason"] == "stop":
        assert isinstance(json.loads(answer.content), dict)


def test_choices_of_one_request_fit_and_differ(demo):
    answer = demo.chat(
        "x", n=4, temperature=2, seed=5, response_format=schema_format({"type": "integer", "minimum": 1000, "maximum": 9999})
    )
    values = [json.loads(c["message"]["content"]) for c in answer.json()["choices"]]
    assert all(1000 <= v <= 9999 for v in values) and len(set(values)) > 1


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "set_alarm"}}])
def test_a_forced_call_is_a_call(demo, choice, seed):
    fields = {"tools": TOOLS, "tool_choice": choice, "temperature": 2, "top_p": 1, "seed": seed, "max_tokens": 500}
    answer = demo.chat("Tell me a joke.", parallel_tool_calls=False, **fields)
    if answer.choice["finish_reason"] == "length":
        return
    assert answer.choice["finish_reason"] == "tool_calls" and not answer.choice["message"]["content"]
    (one,) = answer.choice["message"]["tool_calls"]
    declared = {t["function"]["name"]: t["function"]["parameters"] for t in TOOLS}
    jsonschema.validate(json.loads(one["function"]["arguments"]), declared[one["function"]["name"]])
    if isinstance(choice, dict):
        assert one["function"]["name"] == "set_alarm"


def test_forced_calls_at_temperature_0_come_every_time(demo):
    for words in ("hi", "Write a file a.py.", "Wake me at six.", "1+1?"):
        answer = demo.chat(words, tools=TOOLS, tool_choice="required", temperature=0, max_tokens=400,
                           parallel_tool_calls=False)
        assert answer.choice["finish_reason"] == "tool_calls", answer.text


def test_logprobs_are_of_the_free_model(demo):
    fields = {"logprobs": True, "top_logprobs": 2, "temperature": 0, "max_tokens": 1}
    free = demo.chat("Say hello.", **fields).choice["logprobs"]["content"][0]
    held = demo.chat("Say hello.", response_format={"type": "json_object"}, **fields).choice["logprobs"]["content"][0]
    assert held["token"].startswith("{") and held["top_logprobs"] == free["top_logprobs"]


# ---- by script: what the model says is known ----


def test_what_does_not_fit_is_not_said(serve):
    server = serve([{"text": 'Sure! Here it is:' + NEXT + '{"name": "Ann", "age": 7}' + NEXT + "```"}])
    for fields in (
        {"response_format": schema_format(PERSON)},
        {"guided_json": PERSON},
        {"guided_json": json.dumps(PERSON)},
        {"structured_outputs": {"json": PERSON}},
        {"json_schema": PERSON},
        {"response_format": {"type": "json_object", "schema": PERSON}},
    ):
        assert json.loads(server.chat("x", **fields).content) == {"name": "Ann", "age": 7}
        assert json.loads(server.complete("x", max_tokens=100, **fields).choice["text"]) == {"name": "Ann", "age": 7}


def test_regex_choice_and_grammar(serve):
    server = serve([{"text": NEXT.join(["I think that it is:", "blue", ", ", "42", "or so."])}])
    assert server.chat("x", guided_regex="[0-9]+").content == "42"
    assert server.chat("x", guided_choice=["blue", "green"]).content == "blue"
    assert server.chat("x", structured_outputs={"choice": ["blue", "green"]}).content == "blue"
    assert server.chat("x", structured_outputs={"regex": "b[a-z]+"}).content == "blue"
    assert server.chat("x", guided_grammar='start: "blue" | "red"\n').content == "blue"
    assert server.chat("x", grammar='start: /[0-9]{2}/\n').content == "42"
    assert server.chat("x", grammar='root ::= colour ", " [0-9]+\ncolour ::= "blue" | "red"\n').content == "blue, 42"


def test_an_answer_that_cannot_fit_is_an_error(serve):
    server = serve([{"text": "nothing like it"}])
    answer = server.chat("x", guided_regex="[0-9]{3}")
    assert answer.status == 500 and answer.json()["error"]["message"]


def test_max_tokens_leaves_it_cut(demo):
    answer = demo.chat("x", response_format=schema_format(PERSON), max_tokens=3)
    assert answer.choice["finish_reason"] == "length" and answer.content.startswith("{")


def test_a_schema_that_is_not_strict_is_relaxed(serve):
    server = serve([{"text": '{"a": 1}'}])
    loose = {"type": "object", "properties": {"a": {"not": {"type": "string"}}}}
    assert server.chat("x", response_format=schema_format(loose, strict=False)).content == '{"a": 1}'
    unknown = {"type": "object", "properties": {"a": {"format": "colour"}}}
    assert server.chat("x", response_format=schema_format(unknown, strict=False)).content == '{"a": 1}'
    answer = server.chat("x", response_format=schema_format(loose))
    assert answer.status == 400
    assert answer.json()["error"]["code"] == "invalid_json_schema" and answer.json()["error"]["param"] == "response_format"
    assert "'not' at 'properties.a.not'" in answer.json()["error"]["message"]


def test_json_object_wants_the_word_where_model_studio_does(serve):
    server = serve([{"text": "{}"}])
    fields = {"response_format": {"type": "json_object"}}
    path = "/compatible-mode/v1/chat/completions"
    assert server.chat("x", **fields).content == "{}"
    assert server.chat("in JSON please", path=path, **fields).content == "{}"
    answer = server.chat("x", path=path, **fields)
    assert answer.status == 400 and "must contain the word 'json'" in answer.json()["error"]["message"]


def test_calls_or_a_format(serve):
    server = serve([{"match": "weather in Oslo", "text": CITY_CALL}, {"text": "Well," + NEXT + '{"name": "Ann", "age": 7}'}])
    weather = {"type": "function", "function": {"name": "get_weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}}}
    fields = {"tools": [weather], "response_format": schema_format(PERSON)}
    assert json.loads(server.chat("x", **fields).content) == {"name": "Ann", "age": 7}
    answer = server.chat("weather in Oslo", **fields)
    assert answer.choice["finish_reason"] == "tool_calls"
    answer = server.chat("x", tools=[weather], guided_regex="a+")
    assert answer.status == 400 and "'tool_choice' is 'none'" in answer.json()["error"]["message"]


def test_partial_messages_go_on_within_the_format(serve):
    server = serve([{"text": "oops" + NEXT + '"Ann", "age": 7}'}])

    def ask(begun):
        messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": begun, "partial": True}]
        return server.chat(messages=messages, response_format=schema_format(PERSON))

    assert json.loads('{"name": ' + ask('{"name": ').content) == {"name": "Ann", "age": 7}
    answer = ask("Here: ")
    assert answer.status == 400 and answer.json()["error"]["param"] == "messages[1].content"


def test_strict_functions_hold_under_auto(serve):
    def tool(strict):
        parameters = {"type": "object", "properties": {"city": {"enum": ["Oslo", "Rome"]}, "days": {"type": "integer"}},
                      "required": ["city", "days"], "additionalProperties": False}
        return {"type": "function", "function": {"name": "get_weather", "strict": strict, "parameters": parameters}}

    server = serve(
        [{"match": "chat", "text": "Hello <b>there</b>!"},
         {"text": "Looking.\n" + call("get_weather", city="xOslo", days="many 3 or 4", hours="7")}]
    )
    assert server.chat("chat", tools=[tool(True)]).content == "Hello <b>there</b>!"
    (free,) = server.chat("x", tools=[tool(False)]).choice["message"]["tool_calls"]
    assert json.loads(free["function"]["arguments"])["city"] == "xOslo"
    answer = server.chat("x", tools=[tool(True)], parallel_tool_calls=False)
    if answer.status == 200:
        (held,) = answer.choice["message"]["tool_calls"]
        jsonschema.validate(json.loads(held["function"]["arguments"]), tool(True)["function"]["parameters"])
    else:
        assert answer.status == 500


def test_a_grammar_excludes_ignore_eos(serve):
    server = serve([{"text": "1"}])
    for fields in ({"guided_regex": "1"}, {"tools": TOOLS, "tool_choice": "required"}):
        answer = server.chat("x", ignore_eos=True, **fields)
        assert answer.status == 400 and answer.json()["error"]["param"] == "ignore_eos"


def test_a_stop_string_still_stops(serve):
    server = serve([{"text": '{"name": "Ann", "age": 7}'}])
    assert server.chat("x", guided_json=PERSON, stop="Ann").content == '{"name": "'
