"""Seeds reproduce, choices differ, and an answer does not depend on who else is served."""

from concurrent.futures import ThreadPoolExecutor

PROMPT = "def f(x):\n    "


def text(demo, **fields):
    fields = {"temperature": 1, "max_tokens": 16, "ignore_eos": True, **fields}
    return demo.complete(fields.pop("prompt", PROMPT), **fields).choice["text"]


def test_a_seed_reproduces(demo):
    first = text(demo, seed=7)
    assert all(text(demo, seed=7) == first for _ in range(3))
    assert len({text(demo, seed=seed) for seed in range(6)}) > 1


def test_without_a_seed_answers_differ(demo):
    assert len({text(demo, temperature=1.5) for _ in range(6)}) > 1


def test_choices_differ_and_repeat_with_their_seed(demo):
    def choices(**fields):
        answer = demo.complete(PROMPT, temperature=1.5, max_tokens=16, ignore_eos=True, **fields)
        return [choice["text"] for choice in answer.json()["choices"]]

    four = choices(n=4, seed=11)
    assert len(set(four)) > 1 and choices(n=4, seed=11) == four
    assert choices(n=2, seed=11) == four[:2], "a choice is the same however many others there are"


def test_n_in_a_chat(demo):
    answer = demo.chat("hi", n=3, temperature=0, max_tokens=8)
    choices = answer.json()["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in choices}) == 1, "greedy choices are equal"


def test_best_of(demo):
    """The likeliest ones of those that are made, best first."""

    def choices(**fields):
        fields = {"temperature": 1, "max_tokens": 8, "seed": 3, "logprobs": 0, "ignore_eos": True, **fields}
        return demo.complete(PROMPT, **fields).json()

    def mean(choice):
        values = choice["logprobs"]["token_logprobs"]
        return sum(values) / len(values)

    everything = choices(n=5)["choices"]
    best = choices(n=2, best_of=5)
    ranked = sorted(everything, key=mean, reverse=True)
    assert [choice["index"] for choice in best["choices"]] == [0, 1]
    assert [choice["text"] for choice in best["choices"]] == [choice["text"] for choice in ranked[:2]]
    assert best["usage"]["completion_tokens"] == 40, "all that were made are billed"


def test_the_same_answer_alone_and_in_company(demo):
    prompts = [f"# number {i}\ndef f{i}(x):\n    " + "y = 1\n    " * i for i in range(10)]

    def one(i):
        fields = {"temperature": 1, "seed": i} if i % 2 else {"temperature": 0}
        return demo.complete(prompts[i], max_tokens=12, logprobs=2, ignore_eos=True, **fields).choice

    alone = [one(i) for i in range(len(prompts))]
    with ThreadPoolExecutor(len(prompts)) as pool:
        together = list(pool.map(one, range(len(prompts))))
    assert together == alone
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, reversed(range(len(prompts))))) == alone[::-1]


def test_greedy_in_all_its_spellings(demo):
    greedy = text(demo, temperature=0)
    assert text(demo, top_p=0) == greedy
    assert text(demo, top_k=1) == greedy
    assert text(demo, min_p=1) == greedy
    assert text(demo, temperature=0, seed=5) == greedy


def test_logit_bias_forces_and_bans(demo):
    forced = demo.complete(PROMPT, max_tokens=4, logit_bias={"300": 100}, return_token_ids=True).choice
    assert forced["token_ids"] == [300] * 4
    first = demo.complete(PROMPT, max_tokens=1, return_token_ids=True, ignore_eos=True).choice["token_ids"][0]
    banned = demo.complete(PROMPT, max_tokens=6, logit_bias={str(first): -100}, return_token_ids=True, ignore_eos=True)
    assert first not in banned.choice["token_ids"]


def test_penalties_change_what_repeats(demo):
    def most_frequent(**fields):
        fields = {"max_tokens": 60, "ignore_eos": True, "return_token_ids": True, **fields}
        ids = demo.complete("a a a a a a a a", **fields).choice["token_ids"]
        return max(ids.count(i) for i in ids)

    plain = most_frequent()
    assert plain > 3, "greedy text repeats itself"
    for fields in ({"frequency_penalty": 2}, {"repetition_penalty": 2}, {"repeat_penalty": 2}):
        assert most_frequent(**fields) < plain, fields


def test_min_tokens(demo):
    answer = demo.chat("hi", min_tokens=30, max_tokens=40)
    assert answer.json()["usage"]["completion_tokens"] >= 30
