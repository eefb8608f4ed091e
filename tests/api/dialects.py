"""Every dialect's generating operation in one form: where it is asked, how, what it answered, and what its errors are."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from wire import read_events, read_named_events

USER = "user"
TOOL_PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
CHAT_TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": TOOL_PARAMETERS}}


def turn(content):
    return [{"role": USER, "content": content}]


# ---- errors: each returns (message, code or None) after checking that nothing else is there ----


def openai_error(body, answer):
    assert set(body) == {"error", "request_id"} or set(body) == {"error"}, body
    error = body["error"]
    assert {"message", "type", "param", "code"} <= set(error), error
    assert answer.headers["x-request-id"] == body.get("request_id", answer.headers["x-request-id"])
    return error["message"], error["code"]


def anthropic_error(body, answer):
    assert set(body) == {"type", "error", "request_id"} and body["type"] == "error", body
    assert set(body["error"]) == {"type", "message"}
    assert body["request_id"] == answer.headers["request-id"] and body["request_id"].startswith("req_")
    return body["error"]["message"], body["error"]["type"]


def dashscope_error(body, answer):
    assert set(body) == {"code", "message", "request_id"}, body
    assert body["request_id"] == answer.headers["x-request-id"]
    return body["message"], body["code"]


def segmind_error(body, answer):
    assert set(body) == {"error", "error_details", "request_id"} and isinstance(body["error"], str), body
    return body["error"], body["error_details"]["code"]


def ollama_error(body, answer):
    assert set(body) == {"error"} and isinstance(body["error"], str), body
    return body["error"], None


def llamacpp_error(body, answer):
    error = body["error"]
    assert set(body) == {"error"} and {"code", "message", "type"} <= set(error), body
    assert error["code"] == answer.status
    return error["message"], None


# ---- streams: each returns (text, [names of calls]) of a whole stream ----


def chat_stream(body):
    text, names = "", []
    for event in read_events(body)[:-1]:
        for choice in event["choices"]:
            text += choice["delta"].get("content") or ""
            for piece in choice["delta"].get("tool_calls", []):
                assert isinstance(piece["index"], int)
                if piece.get("id"):
                    names.append(piece["function"]["name"])
    return text, names


def text_stream(body):
    return "".join(c["text"] for event in read_events(body)[:-1] for c in event["choices"]), []


def responses_stream(body):
    events = read_named_events(body)
    assert events[-1]["type"] in ("response.completed", "response.incomplete")
    return responses_whole(events[-1]["response"])


def anthropic_stream(body):
    events = read_named_events(body)
    assert events[-1] == {"type": "message_stop"}
    text = "".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta" and "text" in e["delta"])
    blocks = [e["content_block"] for e in events if e["type"] == "content_block_start"]
    return text, [block["name"] for block in blocks if block["type"] == "tool_use"]


def dashscope_stream(body):
    text, names = "", []
    for line in body.decode().splitlines():
        if line.startswith("data:"):
            message = json.loads(line[5:])["output"]["choices"][0]["message"]
            text += message["content"]
            names += [call["function"]["name"] for call in message.get("tool_calls", []) if call["function"].get("name")]
    return text, names


def ollama_stream(body):
    lines = [json.loads(line) for line in body.decode().splitlines()]
    assert lines[-1]["done"] is True
    messages = [line.get("message") or {"content": line["response"]} for line in lines]
    calls = [call for message in messages for call in message.get("tool_calls", [])]
    return "".join(message["content"] for message in messages), [call["function"]["name"] for call in calls]


def llamacpp_stream(body):
    frames = [json.loads(frame.removeprefix("data: ")) for frame in body.decode().split("\n\n") if frame]
    assert frames[-1]["stop"] is True
    return "".join(frame["content"] for frame in frames), []


# ---- whole answers, the same ----


def chat_whole(answer):
    message = answer["choices"][0]["message"]
    return message["content"] or "", [call["function"]["name"] for call in message.get("tool_calls", [])]


def responses_whole(answer):
    texts = [part["text"] for item in answer["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(texts), [item["name"] for item in answer["output"] if item["type"] == "function_call"]


def anthropic_whole(answer):
    blocks = answer["content"]
    return "".join(b.get("text", "") for b in blocks), [b["name"] for b in blocks if b["type"] == "tool_use"]


def dashscope_whole(answer):
    message = answer["output"]["choices"][0]["message"]
    return message["content"], [call["function"]["name"] for call in message.get("tool_calls", [])]


def ollama_whole(answer):
    message = answer.get("message") or {"content": answer["response"]}
    return message["content"], [call["function"]["name"] for call in message.get("tool_calls", [])]


# ---- the table ----


@dataclass(frozen=True)
class Dialect:
    name: str
    path: str
    ask: Callable  # content -> body of a request that is not streamed
    error: Callable
    whole: Callable
    stream: Callable
    max_tokens: Callable  # (body, value): sets the limit of tokens
    tools: object = None  # the field `tools`; None: the operation has none
    busy_status: int = 503
    model_in_path: bool = False
    model_optional: bool = False
    listed: bool = False  # GET lists what was kept

    def body(self, content="hello", *, stream=False, tools=False):
        body = self.ask(content)
        parameters = body["parameters"] if self.name == "dashscope" else body
        if self.name == "dashscope":
            parameters["incremental_output"] = stream
        else:
            body["stream"] = stream
        if tools:
            parameters["tools"] = self.tools
        return body

    def post(self, server, body, headers=None, *, stream=False):
        """stream: for the dialect that asks for one by a header."""
        more = {"x-dashscope-sse": "enable"} if stream and self.name == "dashscope" else {}
        return server.post(self.path, body, {**more, **(headers or {})})

    def answer(self, server, content="hello", *, stream=False, tools=False):
        """(text, names of calls)"""
        return self.read(self.post(server, self.body(content, stream=stream, tools=tools), stream=stream), stream=stream)

    def read(self, answer, stream=False):
        """(text, names of calls)"""
        assert answer.status == 200, answer.text
        return self.stream(answer.body) if stream else self.whole(answer.json())

    def read_error(self, answer):
        assert answer.headers["content-type"] == "application/json", answer.headers
        return self.error(answer.json(), answer)


def top(name):
    return lambda body, value: body.__setitem__(name, value)


def inside(outer, name):
    return lambda body, value: body.setdefault(outer, {}).__setitem__(name, value)


ANTHROPIC_TOOL = {"name": "get_weather", "input_schema": TOOL_PARAMETERS}
RESPONSES_TOOL = {"type": "function", "strict": False, **CHAT_TOOL["function"]}

DIALECTS = [
    Dialect("chat", "/v1/chat/completions", lambda c: {"model": "demo", "messages": turn(c)}, openai_error, chat_whole,
            chat_stream, top("max_tokens"), [CHAT_TOOL], listed=True),
    Dialect("completions", "/v1/completions", lambda c: {"model": "demo", "prompt": c, "max_tokens": 4000}, openai_error,
            lambda a: (a["choices"][0]["text"], []), text_stream, top("max_tokens")),
    Dialect("responses", "/v1/responses", lambda c: {"model": "demo", "input": c}, openai_error, responses_whole,
            responses_stream, top("max_output_tokens"), [RESPONSES_TOOL]),
    Dialect("anthropic", "/v1/messages", lambda c: {"model": "demo", "max_tokens": 4000, "messages": turn(c)},
            anthropic_error, anthropic_whole, anthropic_stream, top("max_tokens"), [ANTHROPIC_TOOL], busy_status=529),
    Dialect("dashscope", "/api/v1/services/aigc/text-generation/generation",
            lambda c: {"model": "demo", "input": {"messages": turn(c)}, "parameters": {"result_format": "message"}},
            dashscope_error, dashscope_whole, dashscope_stream, inside("parameters", "max_tokens"), [CHAT_TOOL]),
    Dialect("segmind", "/v1/qwen3-coder-flash", lambda c: {"messages": turn(c)}, segmind_error, chat_whole, chat_stream,
            top("max_tokens"), [CHAT_TOOL], model_in_path=True),
    Dialect("ollama chat", "/api/chat", lambda c: {"model": "demo", "messages": turn(c)}, ollama_error, ollama_whole,
            ollama_stream, inside("options", "num_predict"), [CHAT_TOOL]),
    Dialect("ollama generate", "/api/generate", lambda c: {"model": "demo", "prompt": c}, ollama_error, ollama_whole,
            ollama_stream, inside("options", "num_predict")),
    Dialect("llama.cpp completion", "/completion", lambda c: {"prompt": c, "n_predict": 4000}, llamacpp_error,
            lambda a: (a["content"], []), llamacpp_stream, top("n_predict"), model_optional=True),
    Dialect("llama.cpp infill", "/infill", lambda c: {"input_prefix": c, "input_suffix": "", "n_predict": 4000},
            llamacpp_error, lambda a: (a["content"], []), llamacpp_stream, top("n_predict"), model_optional=True),
]
WITH_TOOLS = [dialect for dialect in DIALECTS if dialect.tools]

