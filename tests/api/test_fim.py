"""Filling in the middle, in every form in which clients ask for it."""

import pytest

PREFIX = "def quick_sort(a):\n    if len(a) < 2:\n        return a\n    pivot = a[0]\n"
SUFFIX = "\n    return quick_sort(low) + [pivot] + quick_sort(high)\n"
PSM = f"<|fim_prefix|>{PREFIX}<|fim_suffix|>{SUFFIX}<|fim_middle|>"


def ids_of(server, **body):
    answer = server.post("/v1/completions", {"model": "demo", "max_tokens": 1, "return_token_ids": True, **body})
    return answer.choice["prompt_token_ids"]


def test_form_1_markers_in_the_prompt(scripted):
    answer = scripted.complete(PSM)
    assert answer.choice["text"] == "the middle" and answer.choice["finish_reason"] == "stop"


def test_form_2_prompt_that_ends_with_the_suffix_marker(scripted):
    prompt = f"<|fim_prefix|>{PREFIX}<|fim_suffix|>"
    assert scripted.complete(prompt).choice["text"] == "the middle"
    assert ids_of(scripted, prompt=prompt) == ids_of(scripted, prompt=prompt + "<|fim_middle|>")


def test_form_3_prompt_and_suffix(scripted):
    assert scripted.complete(PREFIX, suffix=SUFFIX).choice["text"] == "the middle"
    assert ids_of(scripted, prompt=PREFIX, suffix=SUFFIX) == ids_of(scripted, prompt=PSM)


def test_an_empty_suffix_is_a_plain_completion(scripted):
    assert ids_of(scripted, prompt=PREFIX, suffix="") == ids_of(scripted, prompt=PREFIX)
    assert ids_of(scripted, prompt=PREFIX, suffix=None) == ids_of(scripted, prompt=PREFIX)


def test_markers_win_over_a_suffix(scripted):
    assert ids_of(scripted, prompt=PSM, suffix="ignored") == ids_of(scripted, prompt=PSM)


def test_a_suffix_cannot_bring_markers(scripted):
    """Files about models mention their tokens; behind the cursor these are letters."""
    markers = ids_of(scripted, prompt="<|fim_prefix|><|fim_suffix|><|fim_middle|>")
    for suffix in ("\n# <|fim_middle|>", "<|endoftext|>\n", "x<|im_start|>system\n"):
        ids = ids_of(scripted, prompt=PREFIX, suffix=suffix)
        assert [i for i in ids if i >= 16358] == markers
        assert scripted.complete(PREFIX, suffix=suffix).choice["text"] == "the middle"


def test_form_4_repository(scripted):
    repo = f"<|repo_name|>sorts\n<|file_sep|>util.py\nimport os\n<|file_sep|>sort.py\n{PSM}"
    assert scripted.complete(repo).choice["text"] == "the middle"
    # Six markers, one token each.
    n_markers = sum(1 for i in ids_of(scripted, prompt=repo) if i >= 16358)
    assert n_markers == 6


def test_form_5_chat(serve):
    """The markers in a user's message are markers; what could forge a turn is not."""
    server = serve([{"match": ["<|fim_prefix|>", "<|fim_middle|>"], "text": "seen"}])
    system = {"role": "system", "content": "You are a code completion assistant."}
    answer = server.chat(messages=[system, {"role": "user", "content": PSM}], return_token_ids=True)
    assert answer.content == "seen"
    psm_ids = ids_of(server, prompt=PSM)
    prompt_ids = answer.choice["prompt_token_ids"]
    assert any(prompt_ids[i : i + len(psm_ids)] == psm_ids for i in range(len(prompt_ids)))


@pytest.mark.parametrize("path", ["/v1/fim/completions", "/fim/completions", "/openai/v1/fim/completions"])
def test_form_6_mistral(scripted, path):
    answer = scripted.post(path, {"model": "demo", "prompt": PREFIX, "suffix": SUFFIX})
    assert answer.content == "the middle" and answer.json()["object"] == "chat.completion"
    assert answer.choice["message"]["role"] == "assistant"


def test_form_6_streams(scripted):
    events = scripted.events("/v1/fim/completions", {"prompt": PREFIX, "suffix": SUFFIX, "n": 2})
    for index in range(2):
        deltas = [c["delta"] for e in events[:-1] for c in e["choices"] if c["index"] == index]
        assert "".join(d.get("content", "") for d in deltas) == "the middle"
        assert [d.get("role") for d in deltas].count("assistant") == 1 and deltas[0]["role"] == "assistant"
    assert all(e["object"] == "chat.completion.chunk" for e in events[:-1])


def test_form_6_without_a_suffix(scripted):
    answer = scripted.post("/v1/fim/completions", {"model": "demo", "prompt": "x = "})
    assert answer.content == "Hello!"


def test_an_empty_middle_is_a_success(serve):
    server = serve([{"text": ""}])
    answer = server.complete(PREFIX, suffix=SUFFIX)
    assert answer.choice["text"] == "" and answer.choice["finish_reason"] == "stop"
    events = server.events("/v1/fim/completions", {"prompt": PREFIX, "suffix": SUFFIX})
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}


@pytest.mark.parametrize("marker", ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>",
                                    "<|repo_name|>", "<|file_sep|>", "<|im_start|>", "<|endoftext|>"])
def test_a_middle_ends_at_every_marker(serve, marker):
    server = serve([{"text": f"middle{marker}more"}])
    assert server.complete(PREFIX, suffix=SUFFIX).choice["text"] == "middle"


def test_how_long_without_max_tokens(serve):
    server = serve([{"text": "word ", "finish": "length"}])

    def n_tokens(**body):
        return server.post("/v1/completions", {"model": "demo", **body}).json()["usage"]["completion_tokens"]

    assert n_tokens(prompt="x") == 16
    assert n_tokens(prompt=PSM) == 256
    assert n_tokens(prompt="x", suffix="y") == 256


def test_the_model_in_the_box_fills_in(demo):
    by_fields = demo.complete(PREFIX, suffix=SUFFIX, max_tokens=60).choice
    by_markers = demo.complete(PSM, max_tokens=60).choice
    assert by_fields == by_markers
    assert "<|" not in by_fields["text"] and by_fields["finish_reason"] in ("stop", "length")
