"""The table of test_bad_requests.py: what is sent, and the status, code, param and words that come back."""

import gzip
import json
import zlib
from dataclasses import dataclass, field

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
USER = {"role": "user", "content": "hi"}
NO = object()


@dataclass
class Row:
    name: str
    body: object  # bytes as they are, or a value sent as JSON
    status: int
    code: str | None
    words: str | list
    param: object = NO
    method: str = "POST"
    path: str = CHAT
    headers: dict = field(default_factory=dict)


def chat(name, words, code="invalid_value", param=NO, status=400, **fields):
    body = {"model": "demo", "messages": [USER], **fields}
    return Row(name, {k: v for k, v in body.items() if v is not NO}, status, code, words, param)


def text(name, words, code="invalid_value", param=NO, status=400, **fields):
    body = {"model": "demo", "prompt": "x", **fields}
    return Row(name, {k: v for k, v in body.items() if v is not NO}, status, code, words, param, path=TEXT)


def message(name, words, bad, code="invalid_value", param=NO, before=()):
    return chat("message: " + name, words, code, param, messages=[*before, bad])


def tool(name, words, bad, code="invalid_value", param=NO):
    return chat("tool: " + name, words, code, param, tools=[bad])


FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def wrong_types():
    """Every field of both operations with kinds of values that it cannot have."""
    chat_kinds = {
        "stream": ("a boolean", ["true", 1, []]),
        "stream_options": ("an object", [True, "x", []]),
        "max_tokens": ("an integer", ["5", True, [], {}]),
        "max_completion_tokens": ("an integer", ["5", {}]),
        "min_tokens": ("an integer", ["1"]),
        "temperature": ("a number", ["0.5", True, [0.5]]),
        "top_p": ("a number", ["1", {}]),
        "top_k": ("an integer", ["20", [1]]),
        "min_p": ("a number", ["0"]),
        "presence_penalty": ("a number", ["0"]),
        "frequency_penalty": ("a number", [[]]),
        "repetition_penalty": ("a number", ["1"]),
        "seed": ("an integer", ["7", {}]),
        "n": ("an integer", ["1", True]),
        "logprobs": ("a boolean", [3, "true"]),
        "top_logprobs": ("an integer", ["3", True]),
        "logit_bias": ("an object", [[], "x", 3]),
        "stop": ("a string", [True, {}]),
        "stop_token_ids": ("an array", [3, "x"]),
        "tools": ("an array", [{}, "x"]),
        "tool_choice": ("a string or an object", [1, []]),
        "parallel_tool_calls": ("a boolean", ["false"]),
        "functions": ("an array", [{}]),
        "response_format": ("an object", ["json", []]),
        "modalities": ("an array", ["text"]),
        "prediction": ("an object", ["x"]),
        "metadata": ("an object", ["x", []]),
        "user": ("a string", [1, {}]),
        "store": ("a boolean", ["yes"]),
        "enable_thinking": ("a boolean", ["false"]),
        "enable_search": ("a boolean", [1]),
        "ignore_eos": ("a boolean", [1]),
        "skip_special_tokens": ("a boolean", ["x"]),
        "return_token_ids": ("a boolean", [1]),
        "continue_final_message": ("a boolean", [1]),
        "add_generation_prompt": ("a boolean", ["x"]),
        "chat_template_kwargs": ("an object", [[], "x"]),
        "messages": ("an array", [{}, "hi", 3]),
        "model": ("a string", [3, [], {}]),
    }
    text_kinds = {
        "prompt": ("a string or an array", [3, True, {}]),
        "suffix": ("a string", [3, ["x"]]),
        "echo": ("a boolean", ["true"]),
        "logprobs": ("an integer", [True, "3"]),
        "best_of": ("an integer", ["2"]),
        "max_tokens": ("an integer", ["5"]),
        "stop": ("a string", [{}]),
        "stream": ("a boolean", ["x"]),
        "model": ("a string", [{}]),
    }
    for make, kinds in ((chat, chat_kinds), (text, text_kinds)):
        for name, (expected, values) in kinds.items():
            for value in values:
                yield make(
                    f"{make.__name__}: {name} = {json.dumps(value)}",
                    [f"'{name}'", f"expected {expected}"],
                    "invalid_type",
                    name,
                    **{name: value},
                )


def out_of_range():
    values = [
        ("max_tokens", 0, "at least 1"),
        ("max_tokens", -2, "[-1,"),
        ("max_completion_tokens", 0, "at least 1"),
        ("min_tokens", -1, "[0,"),
        ("temperature", -0.1, "[0, 2]"),
        ("temperature", 2.01, "[0, 2]"),
        ("temperature", 1e300, "[0, 2]"),
        ("top_p", -0.1, "[0, 1]"),
        ("top_p", 1.1, "[0, 1]"),
        ("top_k", -2, "[-1,"),
        ("top_k", 1 << 40, "not in the range"),
        ("min_p", 1.5, "[0, 1]"),
        ("presence_penalty", 2.5, "[-2, 2]"),
        ("frequency_penalty", -2.5, "[-2, 2]"),
        ("repetition_penalty", 0, "greater than 0"),
        ("repetition_penalty", -1, "not in the range"),
        ("repeat_penalty", 0, "greater than 0"),
        ("seed", -1, "not in the range"),
        ("n", 0, "[1, 128]"),
        ("n", 129, "[1, 128]"),
        ("top_logprobs", 21, "[0, 20]"),
        ("top_logprobs", -1, "[0, 20]"),
    ]
    for name, value, words in values:
        yield chat(f"{name} = {value}", [f"'{name}'", words], "invalid_value", name, logprobs=True, **{name: value})
    yield chat("n is half", "'n'", "invalid_type", "n", n=1.5)
    yield chat("seed has 20 digits", "'seed'", "invalid_value", "seed", seed=99999999999999999999)
    yield chat("min_tokens over max_tokens", "more than max_tokens (3)", param="min_tokens", max_tokens=3, min_tokens=5)
    yield chat("top_logprobs without logprobs", "'logprobs' set to true", param="top_logprobs", top_logprobs=3)
    yield text("logprobs = 21", "[0, 20]", param="logprobs", logprobs=21)
    yield text("logprobs = -1", "[0, 20]", param="logprobs", logprobs=-1)
    yield text("best_of under n", "less than n (3)", param="best_of", best_of=2, n=3)
    yield text("best_of streamed", "'stream'", param="best_of", best_of=2, stream=True)
    yield text("echo with suffix", "'suffix'", param="echo", echo=True, suffix="x")
    yield text("prompt and max_tokens = -2", "[-1,", param="max_tokens", max_tokens=-2)


def stops_and_bias():
    yield chat("empty stop", "must not be empty", param="stop", stop="")
    yield chat("empty stop in a list", "'stop[1]'", param="stop[1]", stop=["a", ""])
    yield chat("stop of null", "'stop[0]'", "invalid_type", "stop[0]", stop=[None])
    yield chat("65 stops", "max_stops", param="stop[64]", stop=[f"s{i}" for i in range(65)])
    yield chat("a long stop", ["4097 bytes", "max_stop_bytes"], param="stop", stop="x" * 4097)
    yield chat("stop of no token", "[0, 16383]", param="stop[0]", stop=[16384])
    yield chat("stop of half a token", "'stop[0]'", param="stop[0]", stop=[1.5])
    yield chat("stop list of a negative id", "'stop[0][1]'", param="stop[0][1]", stop=[[1, -1]])
    yield chat("stop_token_ids of text", "'stop_token_ids[0]'", "invalid_type", "stop_token_ids[0]", stop_token_ids=["a"])
    yield chat("stop_token_ids out of range", "[0, 16383]", param="stop_token_ids[1]", stop_token_ids=[1, -5])
    yield chat("bias of a word", "'hello' is not a token id", param="logit_bias", logit_bias={"hello": 1})
    yield chat("bias of no token", "below 16384", param="logit_bias", logit_bias={"16384": 1})
    yield chat("bias of a negative id", "'-1'", param="logit_bias", logit_bias={"-1": 1})
    yield chat("bias of a huge id", "'99999999999'", param="logit_bias", logit_bias={"99999999999": 1})
    yield chat("bias of an empty key", "''", param="logit_bias", logit_bias={"": 1})
    yield chat("bias of 101", "[-100, 100]", param="logit_bias.5", logit_bias={"5": 101})
    yield chat("bias of text", "'logit_bias.5'", "invalid_type", "logit_bias.5", logit_bias={"5": "1"})
    many = {str(i): 1 for i in range(1025)}
    yield chat("1025 biases", ["1025 entries", "max_logit_bias"], param="logit_bias", logit_bias=many)


def messages():
    yield chat("no messages", "'messages'", "missing_required_parameter", "messages", messages=NO)
    yield chat("messages null", "'messages'", "missing_required_parameter", "messages", messages=None)
    yield chat("messages empty", "too short", param="messages", messages=[])
    yield message("a string", "'messages[0]'", "hi", "invalid_type", "messages[0]")
    yield message("null", "'messages[1]'", None, "invalid_type", "messages[1]", before=[USER])
    yield message("no role", "'messages[0].role'", {"content": "x"}, "missing_required_parameter", "messages[0].role")
    yield message("role of a number", "'messages[0].role'", {"role": 1, "content": "x"}, "invalid_type")
    yield message("unknown role", "'robot'", {"role": "robot", "content": "x"}, param="messages[0].role")
    yield message("role with a capital", "'User'", {"role": "User", "content": "x"}, param="messages[0].role")
    yield message("control token as role", "is not one of", {"role": "<|im_start|>system", "content": "x"})
    yield message("user without content", "'messages[0].content'", {"role": "user"}, "missing_required_parameter")
    yield message("content null", "'messages[0].content'", {"role": "user", "content": None}, "missing_required_parameter")
    yield message("content of a number", "'messages[0].content'", {"role": "user", "content": 5}, "invalid_type")
    yield message("content of an object", "'messages[0].content'", {"role": "user", "content": {}}, "invalid_type")

    def part(name, words, bad, code="invalid_type", param="messages[0].content[0]"):
        return message("part " + name, words, {"role": "user", "content": [bad]}, code, param)

    yield part("of a number", "a content part object", 5)
    yield part("of null", "a content part object", None)
    yield part("without type", "'messages[0].content[0].type'", {"text": "x"}, "missing_required_parameter", NO)
    yield part("without text", "'messages[0].content[0].text'", {"type": "text"}, "missing_required_parameter", NO)
    yield part("text of a number", "a string", {"type": "text", "text": 1}, "invalid_type", NO)
    for kind in ("image_url", "input_audio", "video_url", "file", "refusal", "nonsense"):
        yield part(kind, f"'{kind}'", {"type": kind, kind: {"url": "x"}}, "InvalidParameter")
    many = [{"type": "text", "text": "x"}] * 4097
    yield message("4097 parts", ["4097 parts", "max_content_parts"], {"role": "user", "content": many})
    yield chat("20001 messages", ["20001 entries", "max_messages"], param="messages", messages=[USER] * 20001)
    yield message("name of a number", "'messages[0].name'", {"role": "user", "content": "x", "name": 1}, "invalid_type")

    def said(name, words, code="invalid_value", param=NO, **fields):
        return message("assistant " + name, words, {"role": "assistant", "content": "", **fields}, code, param)

    where = "messages[0].tool_calls"
    yield said("tool_calls of text", f"'{where}'", "invalid_type", tool_calls="x")
    yield said("call of text", f"'{where}[0]'", "invalid_type", tool_calls=["x"])
    yield said("call without id", f"'{where}[0].id'", "missing_required_parameter", tool_calls=[{**CALL, "id": None}])
    yield said("call id of a number", f"'{where}[0].id'", "invalid_type", tool_calls=[{**CALL, "id": 5}])
    yield said("call of another type", "only 'function'", tool_calls=[{**CALL, "type": "custom"}])
    yield said("call without function", f"'{where}[0].function'", "missing_required_parameter", tool_calls=[{"id": "a"}])
    bad = {"id": "a", "function": {"arguments": "{}"}}
    yield said("call without name", f"'{where}[0].function.name'", "missing_required_parameter", tool_calls=[bad])
    bad = {"id": "a", "function": {"name": "", "arguments": "{}"}}
    yield said("call of no name", "1 to 256 characters", tool_calls=[bad])
    bad = {"id": "a", "function": {"name": "f", "arguments": 5}}
    yield said("arguments of a number", f"'{where}[0].function.arguments'", "invalid_type", tool_calls=[bad])
    yield said("1025 calls", ["1025 entries", "max_tool_calls"], tool_calls=[CALL] * 1025)
    yield said("partial of text", "'messages[0].partial'", "invalid_type", partial="true")
    yield chat("partial not last", "only allowed on a last message", "InvalidParameter", "messages[0].partial",
               messages=[{"role": "assistant", "content": "x", "partial": True}, USER])
    yield message("partial user", "only allowed on a last message", {**USER, "partial": True}, "InvalidParameter")

    answer = {"role": "tool", "content": "x"}
    yield message("tool without id", "'messages[0].tool_call_id'", answer, "missing_required_parameter")
    yield message("tool id of a number", "'messages[0].tool_call_id'", {**answer, "tool_call_id": 1}, "invalid_type")
    yield message("tool without a call", "must be a response to", {**answer, "tool_call_id": "c1"}, param="messages[0]")
    yield message("tool with another id", "'messages[1]'", {**answer, "tool_call_id": "c2"}, param="messages[1]",
                  before=[{"role": "assistant", "content": None, "tool_calls": [CALL]}])
    yield message("function without name", "'messages[0].name'", {"role": "function", "content": "x"},
                  "missing_required_parameter")


def tools():
    yield tool("a string", "'tools[0]'", "f", "invalid_type")
    yield tool("without function", "'tools[0].function'", {"type": "function"}, "missing_required_parameter")
    yield tool("function of text", "'tools[0].function'", {"type": "function", "function": "f"}, "invalid_type")
    yield tool("of another type", "'web_search'", {"type": "web_search"}, param="tools[0].type")
    yield tool("type of a number", "'tools[0].type'", {"type": 5}, "invalid_type")
    yield tool("without name", "'tools[0].function.name'", {"type": "function", "function": {}},
               "missing_required_parameter")
    for name in ("", "a b", "x" * 65, "a/b", "naïve", "a\nb", "<tool_call>"):
        yield tool(f"named {name!r:.20}", "'tools[0].function.name'", {"type": "function", "function": {"name": name}},
                   param="tools[0].function.name")
    bad = {"type": "function", "function": {"name": "f", "description": 5}}
    yield tool("description of a number", "'tools[0].function.description'", bad, "invalid_type")
    bad = {"type": "function", "function": {"name": "f", "parameters": []}}
    yield tool("parameters of a list", "'tools[0].function.parameters'", bad, "invalid_type")
    bad = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {"not": {}}}}
    yield chat("strict function", ["'not' of the parameters", "function 'f'"], "invalid_function_parameters", "tools", tools=[bad])
    parameters = {"type": "object", "properties": {"p": {"type": "string", "format": "uuid"}}}
    bad = {"type": "function", "function": {"name": "f", "strict": True, "parameters": parameters}}
    yield chat("strict parameter", "'format' of parameter 'p'", "invalid_function_parameters", "tools", tools=[bad])
    yield chat("513 tools", ["513 entries", "max_tools"], param="tools", tools=[FUNCTION] * 513)
    yield chat("513 functions", "max_tools", param="functions", functions=[{"name": "f"}] * 513)
    yield chat("tool_choice unknown", "'sometimes'", param="tool_choice", tool_choice="sometimes", tools=[FUNCTION])
    yield chat("tool_choice required without tools", "when 'tools' are given", tool_choice="required")
    yield chat("tool_choice without type", "'tool_choice.type'", "missing_required_parameter", tool_choice={})
    yield chat("tool_choice of another type", "'x'", param="tool_choice.type", tool_choice={"type": "x"})
    choice = {"type": "function", "function": {"name": "g"}}
    yield chat("tool_choice of no tool", "no function named 'g'", tool_choice=choice, tools=[FUNCTION])
    choice = {"type": "function", "function": {}}
    yield chat("tool_choice without name", "'tool_choice.function.name'", "missing_required_parameter",
               tool_choice=choice, tools=[FUNCTION])
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}
    yield chat("allowed_tools without tools", "'tool_choice.allowed_tools.tools'", "missing_required_parameter",
               tool_choice=choice, tools=[FUNCTION])
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "maybe", "tools": [FUNCTION]}}
    yield chat("allowed_tools of another mode", "'maybe'", tool_choice=choice, tools=[FUNCTION])
    yield chat("function_call unknown", "'x'", param="function_call", functions=[{"name": "f"}], function_call="x")
    yield chat("forced call that continues", "cannot be combined", param="tool_choice", tools=[FUNCTION],
               tool_choice="required", messages=[USER, {"role": "assistant", "content": "x", "partial": True}])


def formats():
    def schema(schema, name="n", strict=True):
        return {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": strict}}

    bad = "invalid_json_schema"
    yield chat("json_schema without its schema", "'response_format.json_schema'", "missing_required_parameter",
               response_format={"type": "json_schema"})
    yield chat("json_schema without name", "'response_format.json_schema.name'", "missing_required_parameter",
               response_format={"type": "json_schema", "json_schema": {"schema": {}}})
    yield chat("json_schema without schema", "'response_format.json_schema.schema'", "missing_required_parameter",
               response_format={"type": "json_schema", "json_schema": {"name": "n"}})
    yield chat("json_schema with a bad name", "letters, digits", param="response_format.json_schema.name",
               response_format=schema({}, "two words"))
    yield chat("json_schema with a long name", "1 to 64", param="response_format.json_schema.name",
               response_format=schema({}, "n" * 65))
    yield chat("json_schema of a list", "must be a schema", bad, "response_format", response_format=schema([]))
    yield chat("json_schema with strict as text", "'response_format.json_schema.strict'", "invalid_type",
               response_format=schema({}, strict="yes"))
    for keyword, value in (("not", {}), ("if", {}), ("contains", {}), ("uniqueItems", True), ("propertyNames", {}),
                           ("dependentRequired", {}), ("unevaluatedProperties", False)):
        yield chat(f"schema with {keyword}", f"'{keyword}'", bad, "response_format",
                   response_format=schema({"properties": {"a": {keyword: value}}}))
    yield chat("schema with a reference outside", "'https://example.com/a' is outside", bad, "response_format",
               response_format=schema({"$ref": "https://example.com/a"}))
    yield chat("schema with a dangling reference", "missing", bad, "response_format",
               response_format=schema({"$ref": "#/$defs/missing"}))
    yield chat("schema with an unknown format", "favourite", bad, "response_format",
               response_format=schema({"type": "string", "format": "favourite"}))
    yield chat("schema with look-ahead", "look", bad, "response_format",
               response_format=schema({"type": "string", "pattern": "a(?!b)"}))
    yield chat("schema with oneOf that overlaps", "oneOf", bad, "response_format",
               response_format=schema({"oneOf": [{"type": "integer"}, {"type": "number"}]}))
    deep = {}
    for _ in range(70):
        deep = {"items": deep}
    yield chat("schema too deep", "deeper than 64", bad, "response_format", response_format=schema(deep))
    yield chat("guided_json that is no JSON", "'guided_json'", bad, "guided_json", guided_json="{")
    yield chat("guided_json of a number", "must be a schema", bad, "guided_json", guided_json=3)
    yield chat("guided_regex of a number", "'guided_regex'", "invalid_type", guided_regex=3)
    yield chat("guided_regex that is none", "'guided_regex'", bad, "guided_regex", guided_regex="(")
    yield chat("guided_regex empty", "empty", param="guided_regex", guided_regex="")
    yield chat("guided_choice of text", "'guided_choice'", "invalid_type", guided_choice="a")
    yield chat("guided_choice empty", "0 entries", param="guided_choice", guided_choice=[])
    yield chat("guided_choice of numbers", "'guided_choice[1]'", "invalid_type", guided_choice=["a", 1])
    yield chat("guided_grammar that is none", "'guided_grammar'", bad, "guided_grammar", guided_grammar="start: (")
    yield chat("GBNF without root", ["'grammar'", "no rule 'root'"], bad, "grammar", grammar='start ::= "a"')
    yield chat("GBNF that ends too soon", "line 2", bad, "guided_grammar", guided_grammar='root ::= a\na ::= ("x"')
    yield chat("structured_outputs of text", "'structured_outputs'", "invalid_type", structured_outputs="x")
    yield chat("structured_outputs empty", "expected one of", param="structured_outputs", structured_outputs={})
    yield chat("structural_tag", "structural_tag", "unsupported", "structured_outputs.structural_tag",
               structured_outputs={"structural_tag": {}})
    yield chat("structured_outputs of two kinds", "cannot be combined", param="structured_outputs.choice",
               structured_outputs={"json": {}, "choice": ["a"]})
    yield chat("two formats", "cannot be combined", param="guided_regex", guided_regex="a",
               response_format={"type": "json_object"})
    yield text("two formats of a text", "cannot be combined", param="json_schema", guided_regex="a", json_schema={})
    yield text("ignore_eos with a format", "'ignore_eos'", param="ignore_eos", guided_regex="a", ignore_eos=True)


def features():
    yield from formats()
    yield chat("format unknown", "'yaml'", param="response_format.type", response_format={"type": "yaml"})
    yield chat("format without type", "'response_format.type'", "missing_required_parameter", response_format={})
    yield chat("audio", "'audio'", "unsupported", "audio", audio={"voice": "x"})
    yield chat("modality audio", "'text'", "unsupported", "modalities[1]", modalities=["text", "audio"])
    yield chat("modality of a number", "'modalities[0]'", "invalid_type", modalities=[1])
    yield chat("enable_search", "enable_search", "invalid_parameter_error", enable_search=True)
    yield chat("enable_thinking", "enable_thinking", "InvalidParameter.NotSupportEnableThinking", enable_thinking=True)
    yield chat("prediction of another type", "'content'", param="prediction.type", prediction={"type": "x"})
    yield chat("prediction without content", "'prediction.content'", "invalid_type", prediction={"type": "content"})
    yield chat("include_usage of text", "'stream_options.include_usage'", "invalid_type",
               stream_options={"include_usage": "yes"})
    yield chat("continuing a user", "Only a final assistant message", continue_final_message=True)
    yield chat("continuing and opening", "exclude each other", param="add_generation_prompt",
               messages=[USER, {"role": "assistant", "content": "x"}], continue_final_message=True,
               add_generation_prompt=True)


def prompts():
    yield text("empty list", "array is empty", param="prompt", prompt=[])
    yield text("list of an object", "'prompt[0]'", "invalid_type", "prompt[0]", prompt=[{}])
    yield text("list of null", "'prompt[1]'", "invalid_type", "prompt[1]", prompt=["a", None])
    yield text("text among ids", "'prompt[1]'", "invalid_type", "prompt[1]", prompt=[1, "a"])
    yield text("id out of range", "[0, 16383]", param="prompt[1]", prompt=[1, 16384])
    yield text("negative id", "[0, 16383]", param="prompt[0]", prompt=[-1])
    yield text("half an id", "'prompt[0]'", param="prompt[0]", prompt=[1.5])
    yield text("id in a nested list", "'prompt[1][0]'", param="prompt[1][0]", prompt=[[1], [16384]])
    yield text("129 prompts", ["129 entries", "max_prompts"], param="prompt", prompt=["x"] * 129)
    yield text("128 choices and one", ["max_choices"], param="n", prompt=["x"] * 43, n=3)
    long = ["This model's maximum context length is 2048 tokens", "Range of input length should be [1, 2047]"]
    over = "context_length_exceeded"
    yield text("2048 ids", [*long, "resulted in 2048 tokens"], over, prompt=[5] * 2048)
    yield text("prompt of 3000 words", [*long, "your prompt resulted in"], over, prompt="word " * 3000)
    yield text("prompt of 10 MB", long, over, prompt="x" * 10_000_000)
    yield chat("3000 words", [*long, "your messages resulted in"], over, messages=[{**USER, "content": "word " * 3000}])
    yield chat("10 MB", long, over, messages=[{**USER, "content": "x" * 10_000_000}])


def bodies():
    def body(name, data, words, code="invalid_json", status=400, **headers):
        return Row("body: " + name, data, status, code, words, headers={k.replace("_", "-"): v for k, v in headers.items()})

    yield body("empty", b"", "it is empty")
    yield body("blank", b"  \n ", "")
    yield body("no JSON", b"hello", "line 1 column 1")
    yield body("cut", b'{"model": "demo", "messages": [', "line 1 column 32: incomplete JSON")
    yield body("two values", b'{} {}', "line 1 column 4")
    yield body("error in line 3", b'{\n"model": "demo",\n"messages": oops}', "line 3 column 13")
    yield body("comma too many", b'{"model": "demo",}', "line 1 column 18")
    yield body("single quotes", b"{'model': 'demo'}", "line 1 column 2")
    yield body("comment", b'{/* hi */ "model": "demo"}', "line 1 column 2")
    yield body("NaN", b'{"temperature": NaN}', "line 1 column 17")
    yield body("infinity", b'{"temperature": Infinity}', "line 1 column 17")
    yield body("leading zero", b'{"n": 01}', "line 1 column 8")
    yield body("raw line break in a string", b'{"model": "a\nb"}', "line 1 column 13")
    yield body("bad escape", b'{"model": "\\x41"}', "line 1 column 13")
    yield body("lone surrogate", b'{"model": "\\ud800"}', "line 1 column 12 (byte offset 11): the escape \\ud800")
    yield body("NUL", b'{"model": "demo"\0}', "line 1 column 17")
    yield body("a key twice", b'{"model": "demo", "model": "other"}', '"model" stands twice')
    yield body("array", b"[]", "expected an object, but got an array")
    yield body("string", b'"hi"', "expected an object, but got a string")
    yield body("null", b"null", "expected an object, but got null")
    yield body("invalid UTF-8", b'{"model": "\xff\xfe"}', "not valid UTF-8")
    yield body("overlong UTF-8", b'{"model": "\xc0\xaf"}', "not valid UTF-8")
    yield body("surrogate in UTF-8", b'{"model": "\xed\xa0\x80"}', "not valid UTF-8")
    yield body("Latin-1", '{"model": "café"}'.encode("latin-1"), "not valid UTF-8")
    yield body("UTF-16", '{"model": "demo"}'.encode("utf-16"), "not valid UTF-8")
    yield body("depth bomb of lists", b'{"a":' + b"[" * 200_000, "nested deeper than the limit of 128")
    yield body("depth bomb of objects", b'{"a":' * 200_000, "nested deeper than the limit of 128")
    yield body("129 levels", b'{"a":' + b"[" * 128 + b"]" * 128 + b"}", "max_json_depth")
    yield body("memory bomb", b'{"prompt":[' + b"0," * 9_000_000 + b"0]}", ["limit of 2000000 values", "max_json_values"])
    yield body("form", b"model=demo", "application/json", "invalid_content_type",
               content_type="application/x-www-form-urlencoded")
    yield body("plain text", b"{}", "application/json", "invalid_content_type", content_type="text/plain")
    yield body("multipart", b"{}", "application/json", "invalid_content_type", content_type="multipart/form-data")
    yield body("other charset", b"{}", "UTF-8", "invalid_content_type",
               content_type="application/json; charset=iso-8859-1")
    yield body("brotli", b"x", "'br'", "invalid_content_encoding", 415, content_encoding="br")
    yield body("two codings", b"x", "'gzip, gzip'", "invalid_content_encoding", 415, content_encoding="gzip, gzip")
    yield body("no gzip", b"hello there", "cannot be read", "invalid_content_encoding", content_encoding="gzip")
    yield body("cut gzip", gzip.compress(b'{"model": "demo"}')[:-9], "ends too early", "invalid_content_encoding",
               content_encoding="gzip")
    yield body("empty gzip", b"", "ends too early", "invalid_content_encoding", content_encoding="gzip")
    yield body("gzip with a wrong sum", gzip.compress(b"{}")[:-8] + b"\0" * 8, "cannot be read",
               "invalid_content_encoding", content_encoding="gzip")
    yield body("no deflate", b"\x78\x9cnothing", "cannot be read", "invalid_content_encoding",
               content_encoding="deflate")
    yield body("gzip of no JSON", gzip.compress(b"hello"), "line 1 column 1", content_encoding="gzip")
    bomb = zlib.compressobj(9, wbits=31)
    squeezed = b"".join(bomb.compress(b" " * (1 << 20)) for _ in range(65)) + bomb.flush()
    yield body("gzip bomb", squeezed, "max_inflated_bytes", "request_too_large", 413, content_encoding="gzip")


def routes():
    def route(name, method, path, status, code, words, body=None):
        return Row("route: " + name, body, status, code, words, method=method, path=path)

    yield route("unknown", "GET", "/nothing/here", 404, "not_found", "/nothing/here")
    yield route("unknown POST", "POST", "/v1/nothing", 404, "not_found", "POST /v1/nothing", {})
    yield route("twice v1", "GET", "/v1/v1/models", 404, "not_found", "'/v1' occurs twice")
    yield route("twice v1, chat", "POST", "/v1/v1/chat/completions", 404, "not_found", "'/v1' occurs twice", {})
    yield route("capital letters", "POST", "/V1/Chat/Completions", 404, "not_found", "/V1/Chat/Completions", {})
    yield route("two slashes", "POST", "//v1/chat/completions", 404, "not_found", "//v1", {})
    yield route("dots", "GET", "/v1/../etc/passwd", 404, "not_found", "/v1/../etc/passwd")
    yield route("chat with PUT", "PUT", CHAT, 405, "method_not_allowed", "'PUT'", {})
    yield route("chat with DELETE", "DELETE", CHAT, 405, "method_not_allowed", "'DELETE'")
    yield route("an unknown method", "BREW", CHAT, 405, "method_not_allowed", "'BREW'")
    yield route("a small method", "post", CHAT, 405, "method_not_allowed", "'post'", {})
    yield route("TRACE", "TRACE", CHAT, 405, "method_not_allowed", "'TRACE'")
    yield route("completions with GET", "GET", TEXT, 405, "method_not_allowed", "'GET'")
    yield route("models with POST", "POST", "/v1/models", 405, "method_not_allowed", "'POST'", {})
    yield route("health with POST", "POST", "/health", 405, "method_not_allowed", "'POST'", {})
    yield route("metrics with POST", "POST", "/metrics", 405, "method_not_allowed", "'POST'", {})
    yield route("unknown model", "GET", "/v1/models/gpt-9", 404, "model_not_found", "'gpt-9'")
    yield route("model of bad bytes", "GET", "/v1/models/%ff%fe", 404, "model_not_found", "does not exist")
    yield route("model of a cut escape", "GET", "/v1/models/demo%2", 404, "model_not_found", "'demo%2'")
    yield route("model of no name", "GET", "/v1/models//", 404, "model_not_found", "does not exist")
    yield route("model with NUL", "GET", "/v1/models/demo%00", 404, "model_not_found", "does not exist")


def models():
    for make in (chat, text):
        name = make.__name__
        yield make(f"{name}: no model", "you must provide a model", "missing_required_parameter", "model", model=NO)
        yield make(f"{name}: model null", "you must provide a model", "missing_required_parameter", "model", model=None)
        yield make(f"{name}: empty model", "you must provide a model", "missing_required_parameter", "model", model="")
        yield make(f"{name}: other model", "'gpt-9'", "model_not_found", "model", 404, model="gpt-9")
        yield make(f"{name}: endless model", "does not exist", "model_not_found", "model", 404, model="é" * 100_000)


def rows():
    for part in (routes, models, bodies, wrong_types, out_of_range, stops_and_bias, messages, tools, features, prompts):
        yield from part()


@dataclass
class RawRow:
    name: str
    data: bytes
    status: int
    code: str | None
    words: str
    half_close: bool = False


def raw_rows():
    """Bytes that are no request, or one that does not hold what it says."""

    def get(name, data, words="not a valid HTTP/1.1 request", status=400, code="bad_http"):
        return RawRow(name, data, status, code, words)

    def post(name, head, body=b"", words="not a valid HTTP/1.1 request", status=400, code="bad_http", half_close=False):
        data = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n" + head + b"\r\n\r\n" + body
        return RawRow(name, data, status, code, words, half_close)

    yield get("a word", b"HELLO\r\n\r\n")
    yield get("random bytes", bytes(range(128, 256)) * 4 + b"\r\n\r\n")
    yield get("NUL bytes", b"\0" * 64 + b"\r\n\r\n")
    yield get("TLS", bytes.fromhex("160301020001000001fc0303") + b"\xaa" * 40 + b"\r\n\r\n")
    yield get("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    yield get("HTTP/0.9", b"GET /\r\n\r\n")
    yield get("HTTP/3", b"GET / HTTP/3.0\r\nhost: a\r\n\r\n")
    yield get("HTTP of letters", b"GET / HTTP/x.y\r\nhost: a\r\n\r\n")
    yield get("no path", b"GET  HTTP/1.1\r\nhost: a\r\n\r\n")
    yield get("blank in the path", b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n")
    yield get("control character in the path", b"GET /a\x01b HTTP/1.1\r\nhost: a\r\n\r\n")
    yield get("method of symbols", b"G{}T / HTTP/1.1\r\nhost: a\r\n\r\n")
    yield get("header without colon", b"GET / HTTP/1.1\r\nhost a\r\n\r\n")
    yield get("header with blank name", b"GET / HTTP/1.1\r\nhost: a\r\nbad name: x\r\n\r\n")
    yield get("header without name", b"GET / HTTP/1.1\r\nhost: a\r\n: x\r\n\r\n")
    yield get("NUL in a header", b"GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n")
    yield get("lone line feed", b"GET / HTTP/1.1\nhost: a\n\n")
    yield get("no host", b"GET /v1/models HTTP/1.1\r\nconnection: close\r\n\r\n", "no Host header")
    too_large = "max_header_bytes"
    yield get("long path", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", too_large, 431, "headers_too_large")
    yield get("long header", b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 70_000 + b"\r\n\r\n", too_large, 431,
              "headers_too_large")
    yield get("5000 headers", b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x-nothing: 1\r\n" * 5000 + b"\r\n", too_large, 431,
              "headers_too_large")
    yield post("length of letters", b"content-length: abc")
    yield post("negative length", b"content-length: -5", b"{}")
    yield post("length with a sign", b"content-length: +2", b"{}")
    yield post("length of 30 digits", b"content-length: 999999999999999999999999999999")
    yield post("two lengths", b"content-length: 2\r\ncontent-length: 3", b"{}}")
    yield post("length and chunks", b"content-length: 2\r\ntransfer-encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n")
    yield post("chunks of nonsense", b"transfer-encoding: chunked", b"zz\r\n{}\r\n0\r\n\r\n")
    yield post("chunk of a huge size", b"transfer-encoding: chunked", b"ffffffffffffffffff\r\n{}")
    yield post("chunk of a negative size", b"transfer-encoding: chunked", b"-2\r\n{}\r\n0\r\n\r\n")
    yield post("chunk longer than it says", b"transfer-encoding: chunked", b"2\r\n{}{}{}\r\n0\r\n\r\n")
    for coding in ("identity", "gzip", "xchunked", "gzip, chunked", "chunked, chunked"):
        yield post(f"coding {coding!r}", b"transfer-encoding: " + coding.encode(), b"2\r\n{}\r\n0\r\n\r\n",
                   "only a single 'chunked'")
    yield post("two codings", b"transfer-encoding: chunked\r\ntransfer-encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n",
               "bad Transfer-Encoding")
    yield post("two hosts", b"host: b\r\ncontent-length: 2", b"{}", "more than one Host")
    yield post("a long body", b"content-length: 67108865", b"", "max_body_bytes", 413, "request_too_large")
    yield post("a long body in one chunk", b"transfer-encoding: chunked", b"4000001\r\n{", "max_body_bytes", 413,
               "request_too_large")
    yield post("another expectation", b"content-length: 2\r\nexpect: a-miracle", b"{}", "100-continue", 417, None)
    yield post("half a body", b"content-length: 100", b'{"model"', "ended before", half_close=True)
    yield post("half a chunk", b"transfer-encoding: chunked", b'20\r\n{"model"', "ended before", half_close=True)
    yield RawRow("half a head", b"POST /v1/chat/completions HTTP/1.1\r\nhost", 400, "bad_http",
                 "not a valid HTTP/1.1 request", True)
