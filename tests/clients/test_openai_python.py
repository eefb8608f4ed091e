"""The openai package for Python against the server: chat, completions, tools, filling in the middle, streams, errors."""
import asyncio
import json
import subprocess
import sys
import time

import openai
import pytest

from client_servers import PROGRAM_S

ROUTES = ["/v1", "/compatible-mode/v1", "/openai/v1"]
SAID = "Hello! 你好 🙂"
WRITE_FILE = {
    "type": "function",
    "function": {
        "name": "write_file",
        "description": "Writes content to a file. Creates the file if it does not exist.",
        "parameters": {
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "Where the file is"},
                "content": {"type": "string", "description": "What is written to it"},
            },
            "required": ["path", "content"],
        },
    },
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
ASK_QUICK_SORT = {"role": "user", "content": "Write a Python quick sort script and name it quick_sort.py"}


def client_of(server, route="/v1", **more):
    return openai.OpenAI(base_url=server.base + route, api_key="sk-none", timeout=PROGRAM_S, max_retries=0, **more)


def ask(text):
    return [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": text}]


# ---- chat ----


@pytest.mark.parametrize("route", ROUTES)
def test_chat(server, route):
    answer = client_of(server, route).chat.completions.create(
        model=server.model, messages=ask("hello"), temperature=0, max_tokens=32
    )
    assert answer.object == "chat.completion" and answer.id.startswith("chatcmpl-")
    assert answer.model == server.model
    [choice] = answer.choices
    assert choice.message.role == "assistant" and choice.message.tool_calls is None
    assert choice.finish_reason in ("stop", "length")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert 0 < answer.usage.completion_tokens <= 32
    if server.scripted:
        assert (choice.message.content, choice.finish_reason) == (SAID, "stop")


def test_chat_stream_says_what_the_whole_says(server):
    client = client_of(server)
    asked = dict(model=server.model, messages=ask("hello"), temperature=0, max_tokens=32)
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert len({(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks}) == 1
    assert chunks[0].object == "chat.completion.chunk"
    *deltas, last = chunks
    assert last.choices == [] and last.usage == whole.usage
    assert all(chunk.usage is None and len(chunk.choices) == 1 for chunk in deltas)
    assert [i for i, chunk in enumerate(deltas) if chunk.choices[0].delta.role] == [0]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in deltas) == whole.choices[0].message.content
    finishes = [chunk.choices[0].finish_reason for chunk in deltas]
    assert finishes[-1] == whole.choices[0].finish_reason and not any(finishes[:-1])


def test_chat_stream_helper(server):
    with client_of(server).chat.completions.stream(
        model=server.model, messages=ask("hello"), temperature=0, max_tokens=32
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "content.delta" in kinds and kinds[-1] == "content.done"
    assert final.choices[0].message.content
    if server.scripted:
        assert final.choices[0].message.content == SAID


def test_several_choices(server):
    asked = dict(model=server.model, messages=ask("hello"), n=3, seed=5, max_tokens=16)
    client = client_of(server)
    whole = client.chat.completions.create(**asked)
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    text, roles, finishes = ["", "", ""], [0, 0, 0], [None] * 3
    for chunk in client.chat.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            assert finishes[choice.index] is None, "nothing comes after the end of a choice"
            text[choice.index] += choice.delta.content or ""
            roles[choice.index] += choice.delta.role is not None
            finishes[choice.index] = choice.finish_reason
    assert roles == [1, 1, 1]
    assert finishes == [choice.finish_reason for choice in whole.choices]
    assert text == [choice.message.content for choice in whole.choices], "a seed repeats the answer"


def test_stop_strings(scripted):
    for stream in (False, True):
        answer = client_of(scripted).chat.completions.create(
            model=scripted.model, messages=ask("count to five"), stop=["fou", "\n# Explanation:"], stream=stream
        )
        if stream:
            text = "".join(c.choices[0].delta.content or "" for c in answer)
        else:
            text = answer.choices[0].message.content
            assert answer.choices[0].finish_reason == "stop"
        assert text == "one two three "


def test_logprobs(server):
    answer = client_of(server).chat.completions.create(
        model=server.model, messages=ask("hello"), temperature=0, max_tokens=8, logprobs=True, top_logprobs=3
    )
    entries = answer.choices[0].logprobs.content
    assert entries and all(len(entry.top_logprobs) == 3 and entry.logprob <= 0 for entry in entries)
    told = b"".join(bytes(entry.bytes) for entry in entries)
    assert told.startswith(answer.choices[0].message.content.encode()[:4])


def test_max_tokens_is_length(server):
    answer = client_of(server).chat.completions.create(
        model=server.model, messages=ask("never stop"), temperature=0, max_completion_tokens=3, logit_bias=None
    )
    assert answer.usage.completion_tokens <= 3
    if server.scripted:
        assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 3


# ---- tools ----


def run_call(call):
    arguments = json.loads(call.function.arguments)
    assert call.function.name == "write_file" and set(arguments) == {"path", "content"}
    return arguments, {
        "role": "tool",
        "tool_call_id": call.id,
        "content": f"Success: File '{arguments['path']}' has been written.",
    }


def check_sorts(source, scripted):
    compile(source, "quick_sort.py", "exec")
    if scripted:
        said = subprocess.run([sys.executable, "-c", source], capture_output=True, timeout=60, check=True).stdout
        assert said.decode() == 'sortiert: 你好 🙂 "ok" [1, 2, 3]\n'


@pytest.mark.parametrize("route", ROUTES)
def test_write_file_and_the_turn_after(server, route):
    client = client_of(server, route)
    messages = [ASK_QUICK_SORT]
    first = client.chat.completions.create(model=server.model, messages=messages, tools=[WRITE_FILE], temperature=0)
    choice = first.choices[0]
    assert choice.finish_reason == "tool_calls", choice
    [call] = choice.message.tool_calls
    assert call.type == "function" and call.id.startswith("call_")
    assert choice.message.content is None or choice.message.content or route == "/compatible-mode/v1"
    arguments, result = run_call(call)
    assert arguments["path"] == "quick_sort.py"
    check_sorts(arguments["content"], server.scripted)
    messages += [choice.message, result]
    second = client.chat.completions.create(model=server.model, messages=messages, tools=[WRITE_FILE], temperature=0)
    choice = second.choices[0]
    assert choice.finish_reason == "stop" and choice.message.tool_calls is None, choice
    assert choice.message.content and "<tool_call>" not in choice.message.content
    if server.scripted:
        assert choice.message.content.startswith("I have written `quick_sort.py`.")


def test_streamed_call_equals_whole_call(server):
    client = client_of(server)
    asked = dict(model=server.model, messages=[ASK_QUICK_SORT], tools=[WRITE_FILE], temperature=0)
    whole = client.chat.completions.create(**asked).choices[0]
    names, ids, arguments, text, finish = [], [], "", "", None
    for chunk in client.chat.completions.create(**asked, stream=True):
        delta = chunk.choices[0].delta
        text += delta.content or ""
        for piece in delta.tool_calls or []:
            assert piece.index == 0
            names += [piece.function.name] if piece.function.name else []
            ids += [piece.id] if piece.id else []
            arguments += piece.function.arguments or ""
        finish = chunk.choices[0].finish_reason or finish
    assert names == ["write_file"] and len(ids) == 1, "name and id come once"
    assert arguments == whole.message.tool_calls[0].function.arguments
    assert text == (whole.message.content or "")
    assert finish == whole.finish_reason == "tool_calls"


def test_stream_helper_assembles_the_call(server):
    with client_of(server).chat.completions.stream(
        model=server.model, messages=[ASK_QUICK_SORT], tools=[WRITE_FILE], temperature=0
    ) as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0].message
    arguments, _ = run_call(message.tool_calls[0])
    check_sorts(arguments["content"], server.scripted)


def test_parallel_calls(scripted):
    asked = dict(model=scripted.model, messages=ask("weather in Oslo and Quito"), tools=[WEATHER])
    calls = client_of(scripted).chat.completions.create(**asked).choices[0].message.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == [
        {"city": "Oslo", "days": 3},
        {"city": "Quito", "days": 5},
    ]
    assert len({call.id for call in calls}) == 2
    one = client_of(scripted).chat.completions.create(**asked, parallel_tool_calls=False).choices[0]
    assert len(one.message.tool_calls) == 1 and one.finish_reason == "tool_calls"
    streamed = {}
    for chunk in client_of(scripted).chat.completions.create(**asked, stream=True):
        for piece in chunk.choices[0].delta.tool_calls or []:
            streamed[piece.index] = streamed.get(piece.index, "") + (piece.function.arguments or "")
    assert streamed == {i: call.function.arguments for i, call in enumerate(calls)}


def test_a_named_tool_is_called(weights):
    answer = client_of(weights).chat.completions.create(
        model=weights.model,
        messages=[ASK_QUICK_SORT],
        tools=[WRITE_FILE, WEATHER],
        tool_choice={"type": "function", "function": {"name": "write_file"}},
        temperature=0,
        max_tokens=400,
    )
    assert answer.choices[0].message.tool_calls[0].function.name == "write_file"


# ---- completions and filling in ----


@pytest.mark.parametrize("route", ROUTES)
def test_completion(server, route):
    client = client_of(server, route)
    asked = dict(model=server.model, prompt="def generate_prime_number", temperature=0, max_tokens=48)
    whole = client.completions.create(**asked)
    assert whole.object == "text_completion" and whole.id.startswith("cmpl-")
    assert whole.choices[0].text
    chunks = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == whole.choices[0].text
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    if server.scripted:
        assert whole.choices[0].text.startswith("(n):\n    return [i for i")


def test_batch_of_prompts(server):
    prompts = ["def generate_prime_number", "hello"]
    answer = client_of(server).completions.create(
        model=server.model, prompt=prompts, n=2, seed=3, temperature=0, max_tokens=12
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.choices[0].text == answer.choices[1].text != answer.choices[2].text


def test_scoring_a_text(server):
    """echo, logprobs and no new tokens: how anybody checks logits and tokens from outside."""
    text = "def f(x):\n    return x\n"
    answer = client_of(server).completions.create(
        model=server.model, prompt=text, echo=True, logprobs=2, max_tokens=0, extra_body={"return_token_ids": True}
    )
    [choice] = answer.choices
    ids = choice.model_extra["prompt_token_ids"]
    assert choice.text == text
    assert len(choice.logprobs.tokens) == len(ids) == answer.usage.prompt_tokens
    assert choice.logprobs.token_logprobs[0] is None and all(p <= 0 for p in choice.logprobs.token_logprobs[1:])
    assert "".join(choice.logprobs.tokens) == text
    assert choice.logprobs.text_offset[0] == 0
    again = client_of(server).completions.create(
        model=server.model, prompt=ids, echo=True, logprobs=2, max_tokens=0
    ).choices[0]
    assert again.text == text and again.logprobs.token_logprobs == choice.logprobs.token_logprobs


QUICKSORT_PREFIX = "def quicksort(arr):\n    if len(arr) <= 1:\n        return arr\n    pivot = arr[len(arr) // 2]\n    "
QUICKSORT_SUFFIX = (
    "\n    middle = [x for x in arr if x == pivot]\n    right = [x for x in arr if x > pivot]\n"
    "    return quicksort(left) + middle + quicksort(right)"
)
FIM = f"<|fim_prefix|>{QUICKSORT_PREFIX}<|fim_suffix|>{QUICKSORT_SUFFIX}<|fim_middle|>"


@pytest.mark.parametrize("stream", [False, True])
def test_every_way_to_fill_in_is_one(server, stream):
    """Markers in the prompt, and prompt with suffix, make the same prompt and so the same answer."""
    client = client_of(server)

    def text_of(**asked):
        answer = client.completions.create(model=server.model, temperature=0, max_tokens=64, stream=stream, **asked)
        if stream:
            return "".join(chunk.choices[0].text for chunk in answer)
        return answer.choices[0].text

    in_prompt = text_of(prompt=FIM)
    assert in_prompt == text_of(prompt=QUICKSORT_PREFIX, suffix=QUICKSORT_SUFFIX)
    assert "<|" not in in_prompt
    if server.scripted:
        assert in_prompt == "left = [x for x in arr if x < pivot]"


def test_prefix_only_form(server):
    answer = client_of(server, "/compatible-mode/v1").completions.create(
        model="qwen-coder-turbo", prompt="<|fim_prefix|>def quick_sort(arr):<|fim_suffix|>", temperature=0, max_tokens=64
    )
    assert answer.model == "qwen-coder-turbo" and answer.choices[0].text
    if server.scripted:
        assert answer.choices[0].text == "\n    return sorted(arr)\n"


def test_nothing_between_is_an_answer(scripted):
    answer = client_of(scripted).completions.create(
        model=scripted.model, prompt="def f():\n    ", suffix="return nothing between"
    )
    assert answer.choices[0].text == "" and answer.choices[0].finish_reason == "stop"


def test_filling_in_through_chat(server):
    """The form of the model's README: markers inside the user's message are markers."""
    messages = [
        {"role": "system", "content": "You are a code completion assistant."},
        {"role": "user", "content": FIM},
    ]
    answer = client_of(server).chat.completions.create(
        model=server.model, messages=messages, temperature=0, max_tokens=64
    )
    assert isinstance(answer.choices[0].message.content, str)
    if server.scripted:
        assert answer.choices[0].message.content == "left = [x for x in arr if x < pivot]"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("route", ROUTES)
def test_partial_mode(server, route, stream):
    """The assistant's turn is begun for it and goes on from there."""
    begun = "def generate_prime_number"
    messages = [*ask("Python code that generates prime numbers, please."), {"role": "assistant", "content": begun, "partial": True}]
    answer = client_of(server, route).chat.completions.create(
        model=server.model, messages=messages, temperature=0, max_tokens=48, stream=stream
    )
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
    else:
        text = answer.choices[0].message.content
    assert text and not text.startswith(begun)
    if server.scripted:
        assert text.startswith("(n):\n")


# ---- models, errors, faults ----


def test_models(server):
    client = client_of(server)
    listed = [model.id for model in client.models.list()]
    assert server.model in listed and len(set(listed)) == len(listed)
    assert client.models.retrieve(listed[0]).id == listed[0]
    assert client.models.retrieve("qwen/qwen3-coder-next").id == "qwen/qwen3-coder-next"
    with pytest.raises(openai.NotFoundError) as raised:
        client.models.retrieve("no-such-model")
    assert raised.value.code == "model_not_found"


def test_errors_have_their_types(server):
    chat = client_of(server).chat.completions
    with pytest.raises(openai.NotFoundError) as raised:
        chat.create(model="no-such-model", messages=ask("hello"))
    assert raised.value.code == "model_not_found" and raised.value.param == "model"
    with pytest.raises(openai.BadRequestError) as raised:
        chat.create(model=server.model, messages=ask("hello"), temperature=9)
    assert raised.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as raised:
        chat.create(model=server.model, messages=[])
    assert raised.value.param == "messages"
    with pytest.raises(openai.BadRequestError) as raised:
        chat.create(model=server.model, messages=ask("x y z " * 400_000), stream=True)
    assert raised.value.code == "context_length_exceeded"
    assert raised.value.request_id


def test_a_fault_in_the_middle_of_a_stream_is_raised(scripted):
    got = ""
    with pytest.raises(openai.APIError) as raised:
        for chunk in client_of(scripted).chat.completions.create(
            model=scripted.model, messages=ask("please fail midway"), stream=True
        ):
            got += chunk.choices[0].delta.content or ""
            assert chunk.choices[0].finish_reason is None
    assert got and "disk on fire" in str(raised.value)
    with pytest.raises(openai.InternalServerError):
        client_of(scripted).chat.completions.create(model=scripted.model, messages=ask("please fail midway"))


def test_a_full_queue_is_tried_again(scripted):
    client = client_of(scripted).with_options(max_retries=2)
    answer = client.chat.completions.create(model=scripted.model, messages=ask("busy once"))
    assert answer.choices[0].message.content == "The second try."


def wait_for_cancel(server, before):
    deadline = time.monotonic() + PROGRAM_S
    while server.metric("quern_engine_cancelled_total") <= before:
        assert time.monotonic() < deadline, "the generation went on although nobody listens"
        time.sleep(0.05)


def test_leaving_a_stream_cancels(scripted):
    before = scripted.metric("quern_engine_cancelled_total")
    stream = client_of(scripted).chat.completions.create(
        model=scripted.model, messages=ask("never stop"), stream=True
    )
    for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    stream.close()
    wait_for_cancel(scripted, before)


def test_many_at_once(server):
    """Answers do not mix: each of several concurrent requests says what it says alone."""
    prompts = ["hello", "count to five", "def generate_prime_number", "weather"] * 3
    alone = {}
    for prompt in set(prompts):
        alone[prompt] = client_of(server).completions.create(
            model=server.model, prompt=prompt, temperature=0, max_tokens=12
        ).choices[0].text

    async def all_at_once():
        async with openai.AsyncOpenAI(base_url=server.v1, api_key="x", timeout=PROGRAM_S, max_retries=0) as client:

            async def one(prompt, stream):
                answer = await client.completions.create(
                    model=server.model, prompt=prompt, temperature=0, max_tokens=12, stream=stream
                )
                if not stream:
                    return answer.choices[0].text
                return "".join([chunk.choices[0].text async for chunk in answer])

            return await asyncio.gather(*[one(prompt, i % 2 == 0) for i, prompt in enumerate(prompts)])

    assert asyncio.run(all_at_once()) == [alone[prompt] for prompt in prompts]
