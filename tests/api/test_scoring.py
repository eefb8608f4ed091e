"""Anyone can check tokens and log-probabilities from outside: echo, logprobs, token ids."""

import pytest
from wire import joined_text

CODE = "def add(a, b):\n    return a + b\n"


def score(demo, prompt, **fields):
    return demo.complete(prompt, echo=True, logprobs=3, max_tokens=0, return_token_ids=True, **fields)


def test_scoring_a_text(demo):
    answer = score(demo, CODE)
    choice = answer.choice
    logprobs = choice["logprobs"]
    n = len(choice["prompt_token_ids"])
    assert choice["text"] == CODE == "".join(logprobs["tokens"])
    assert len(logprobs["tokens"]) == len(logprobs["token_logprobs"]) == len(logprobs["top_logprobs"]) == n > 8
    assert logprobs["token_logprobs"][0] is None and logprobs["top_logprobs"][0] is None
    assert all(-60 < value <= 0 for value in logprobs["token_logprobs"][1:])
    offset = 0
    for at, token in zip(logprobs["text_offset"], logprobs["tokens"]):
        assert at == offset
        offset += len(token)
    for chosen, token, top in list(zip(logprobs["token_logprobs"], logprobs["tokens"], logprobs["top_logprobs"]))[1:]:
        assert 3 <= len(top) <= 4 and top[token] == chosen, "the chosen token is always among them"
        assert max(top.values()) >= chosen
    assert choice["token_ids"] == [] and choice["finish_reason"] == "length"
    assert answer.json()["usage"] == {**answer.json()["usage"], "prompt_tokens": n, "completion_tokens": 0}


def test_ids_score_like_their_text(demo):
    by_text = score(demo, CODE).choice
    by_ids = score(demo, by_text["prompt_token_ids"]).choice
    assert by_ids == by_text


def test_scores_do_not_depend_on_company(demo):
    alone = score(demo, CODE).choice
    texts = ["x = 1\n", CODE, "# a comment of some words\n" * 4, CODE]
    together = score(demo, texts).json()["choices"]
    assert [choice["index"] for choice in together] == [0, 1, 2, 3]
    assert [choice["text"] for choice in together] == texts
    for i in (1, 3):
        assert {**together[i], "index": 0} == alone


def test_generated_tokens_score_the_same_when_read_again(demo):
    """What the model said of its tokens while generating is what it says of them as a prompt."""
    first = demo.complete(CODE, max_tokens=12, logprobs=2, return_token_ids=True, ignore_eos=True).choice
    again = score(demo, first["prompt_token_ids"] + first["token_ids"]).choice
    n = len(first["token_ids"])
    shown = first["logprobs"]["token_logprobs"]
    assert n == 12 and again["logprobs"]["token_logprobs"][-n:] == pytest.approx(shown, abs=1e-3)
    for top, chosen in zip(first["logprobs"]["top_logprobs"], shown):
        assert max(top.values()) == chosen, "temperature 0 takes the likeliest token"


def test_stream_shows_the_same_logprobs_and_ids(demo):
    fields = {"max_tokens": 16, "logprobs": 2, "return_token_ids": True}
    whole = demo.complete(CODE, **fields).choice
    events = demo.events("/v1/completions", {"prompt": CODE, **fields})
    assert joined_text(events) == whole["text"]
    together = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    ids, prompt_ids = [], []
    for event in events[:-1]:
        (choice,) = event["choices"]
        ids += choice["token_ids"]
        prompt_ids.append(choice.get("prompt_token_ids"))
        for key in together:
            together[key] += (choice["logprobs"] or {}).get(key) or []
    assert together == whole["logprobs"] and ids == whole["token_ids"]
    assert prompt_ids == [whole["prompt_token_ids"]] + [None] * (len(prompt_ids) - 1)


def test_echo_with_generation(demo):
    plain = demo.complete(CODE, max_tokens=8, logprobs=1, ignore_eos=True).choice
    echoed = demo.complete(CODE, max_tokens=8, logprobs=1, ignore_eos=True, echo=True).choice
    assert echoed["text"] == CODE + plain["text"]
    n = len(plain["logprobs"]["tokens"])
    for key in ("tokens", "token_logprobs", "top_logprobs"):
        assert echoed["logprobs"][key][-n:] == plain["logprobs"][key]
    assert echoed["logprobs"]["text_offset"][-n:] == [at + len(CODE) for at in plain["logprobs"]["text_offset"]]
    assert demo.complete(CODE, max_tokens=8, ignore_eos=True, echo=True).choice["text"] == CODE + plain["text"]


def test_echo_of_several_prompts_streams(demo):
    texts = ["a = 1\n", "b = 2\n"]
    events = demo.events("/v1/completions", {"prompt": texts, "echo": True, "max_tokens": 4, "n": 2})
    for i in range(4):
        assert joined_text(events, i).startswith(texts[i // 2])


def test_chat_returns_token_ids(demo):
    answer = demo.chat("hi", max_tokens=10, return_token_ids=True)
    choice = answer.choice
    usage = answer.json()["usage"]
    assert len(choice["prompt_token_ids"]) == usage["prompt_tokens"]
    assert len(choice["token_ids"]) == usage["completion_tokens"]
    again = demo.complete(choice["prompt_token_ids"], max_tokens=10, return_token_ids=True).choice
    assert again["token_ids"] == choice["token_ids"], "a chat is a completion of its prompt"


def test_empty_prompts(demo):
    answer = demo.complete("", max_tokens=3, ignore_eos=True)
    assert answer.status == 200 and answer.json()["usage"]["completion_tokens"] == 3
    assert demo.complete(None, max_tokens=3).status == 200
    assert demo.complete("", max_tokens=0, echo=True, logprobs=1).choice["text"] == ""


def test_special_tokens_in_a_prompt_are_special(demo):
    ids = score(demo, "<|im_start|>user\nhi<|im_end|>").choice["prompt_token_ids"]
    text = score(demo, ids).choice["text"]
    assert text == "<|im_start|>user\nhi<|im_end|>"
    assert len(ids) < 8
