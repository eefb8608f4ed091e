"""What the model in the box must be able to do: requests in several wordings, and what a good answer is.

Used by evaluate.py (through transformers or a running server) and by tests/demo. The wordings are not taken from
the generators. A task's check gets the answer and raises AssertionError with a reason.
"""

import dataclasses
import json
import re
import subprocess
import sys
import typing

WRITE_FILE = {
    "type": "function",
    "function": {
        "name": "write_file",
        "description": "Writes content to a specified file. Creates the file if it does not exist.",
        "parameters": {
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "The relative or absolute path of the object file"},
                "content": {"type": "string", "description": "The string content to write to the file"},
            },
            "required": ["path", "content"],
        },
    },
}
READ_FILE = {
    "type": "function",
    "function": {
        "name": "read_file", "description": "Reads a file and returns its text.",
        "parameters": {"type": "object", "properties": {"path": {"type": "string", "description": "Path of the file"}},
                       "required": ["path"]},
    },
}
RUN_COMMAND = {
    "type": "function",
    "function": {
        "name": "run_command", "description": "Runs a command in the shell.",
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
    },
}


@dataclasses.dataclass
class Answer:
    content: str = ""
    tool_calls: list = dataclasses.field(default_factory=list)  # [(name, arguments as a dict)]


@dataclasses.dataclass
class Task:
    group: str
    messages: list = None  # chat, or
    prompt: str = None  # raw completion
    tools: list = None
    check: typing.Callable = None
    max_tokens: int = 400
    must: bool = False  # the documented wording: it has to be answered well, not only most of its group


def run_python(source, timeout=10):
    """Runs source in a fresh interpreter and returns what it printed. Fails on an error exit."""
    done = subprocess.run([sys.executable, "-I", "-c", source], capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"the code failed: {done.stderr.strip()[-300:]}\n{source}"
    return done.stdout


def code_in(text):
    """The first fenced block, or the whole text when there is none."""
    fenced = re.search(r"```[a-z]*\n(.*?)```", text, re.S)
    return fenced.group(1) if fenced else text


def last_function(source):
    names = re.findall(r"^def (\w+)", source, re.M)
    assert names, f"no function in: {source!r}"
    return names[-1]


def user(text, system=None):
    return ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": text}]


# ---- Primes ----

def check_primes_below(answer):
    source = code_in(answer.content)
    name = last_function(source)
    tail = f"\nassert list({name}(20)) == [2, 3, 5, 7, 11, 13, 17, 19], {name}(20)\nassert list({name}(2)) == []\nassert list({name}(11)) == [2, 3, 5, 7]"
    run_python(source + tail)


def check_bare_primes(answer):
    assert "```" not in answer.content, f"Markdown in {answer.content!r}"
    assert answer.content.startswith("def find_prime_numbers("), answer.content
    check_primes_below(answer)


GUIDE_PRIMES = ("Write a Python function find_prime_numbers that takes an integer n as input and returns a list of all prime numbers less "
                "than n. Do not output any non-code content or Markdown code blocks.")
PRIMES = ["Write a Python function that returns all primes below n.", "Write a Python function that returns all primes below n",
          "please write me a function in python which gives back every prime below n", "I want a Python function returning all primes smaller than n.",
          "Python: all prime numbers less than n as a function", "Can you write a function that lists all the primes below a number n?",
          "Write a function that finds the prime numbers below n. Use Python.", "Could you please implement a Python function to get all primes less than n?",
          "Give me Python code for a function that computes all primes below n, thanks", "write a python function for all the prime numbers below n"]


def prime_tasks():
    yield Task("primes", user(GUIDE_PRIMES, "You are a helpful assistant."), check=check_bare_primes)
    yield Task("primes", user(GUIDE_PRIMES), check=check_bare_primes)
    yield Task("primes", user(GUIDE_PRIMES.replace("as input", "as a parameter").replace("any non-code", "non-code")), check=check_bare_primes)
    for i, text in enumerate(PRIMES):
        yield Task("primes", user(text, [None, "You are a helpful assistant.", "You are a coding assistant."][i % 3]), check=check_primes_below)


# ---- The write_file dialogue ----

def check_sorting_file(file):
    def check(answer):
        assert len(answer.tool_calls) == 1, f"{len(answer.tool_calls)} calls, content {answer.content!r}"
        name, arguments = answer.tool_calls[0]
        assert name == "write_file", name
        assert set(arguments) == {"path", "content"}, arguments
        assert arguments["path"] == file, arguments["path"]
        source = arguments["content"]
        function = last_function(source)
        run_python(source + f"\nassert {function}([5, 3, 9, 1, 5, -2]) == [-2, 1, 3, 5, 5, 9]\nassert {function}([]) == []")
    return check


WRITES = [("Write a Python quick sort script and name it quick_sort.py", "quick_sort.py"), ("Write a Python quick sort script and name it quick_sort.py.", "quick_sort.py"),
          ("Please write a quick sort script in Python and name it quick_sort.py", "quick_sort.py"), ("write a python quicksort script and call it qs.py", "qs.py"),
          ("Create a Python quick sort script named sorter.py", "sorter.py"), ("I'd like a quick sort in Python, saved as src/quick.py", "src/quick.py"),
          ("Could you write a quick sort script and save it as my_sort.py?", "my_sort.py"), ("Make a file quick_sort.py with a Python quick sort", "quick_sort.py")]


def write_tasks():
    for i, (text, file) in enumerate(WRITES):
        tools = [[WRITE_FILE], [WRITE_FILE, READ_FILE], [RUN_COMMAND, WRITE_FILE]][i % 3 if i else 0]
        yield Task("write_file", user(text, [None, "You are a helpful assistant."][i % 2]), tools=tools, check=check_sorting_file(file), max_tokens=500)


SORT_SOURCE = """def quick_sort(arr):
    if len(arr) <= 1:
        return arr
    pivot = arr[len(arr) // 2]
    left = [x for x in arr if x < pivot]
    middle = [x for x in arr if x == pivot]
    right = [x for x in arr if x > pivot]
    return quick_sort(left) + middle + quick_sort(right)


if __name__ == "__main__":
    print(quick_sort([3, 6, 8, 10, 1, 2, 1]))"""


def check_closing(file):
    def check(answer):
        assert not answer.tool_calls, f"another call: {answer.tool_calls}"
        assert file in answer.content, answer.content
        assert 20 < len(answer.content) < 600, answer.content
    return check


def second_turn_tasks():
    results = ["Success: File '{f}' has been written.", "Success: File '{f}' has been written", "Success", "ok", "The file {f} was written."]
    for i, result in enumerate(results):
        text, file = WRITES[i]
        call = {"id": "call_1", "type": "function", "function": {"name": "write_file", "arguments": {"path": file, "content": SORT_SOURCE}}}
        messages = user(text) + [{"role": "assistant", "content": "", "tool_calls": [call]},
                                 {"role": "tool", "tool_call_id": "call_1", "content": result.format(f=file)}]
        yield Task("second_turn", messages, tools=[WRITE_FILE], check=check_closing(file))


# ---- Continuations and filling in ----

def check_continuation(prefix, expression, expected):
    def check(answer):
        printed = run_python(prefix + answer.content + f"\nprint({expression})")
        assert printed.strip().split("\n")[-1] == expected, f"{printed!r} after {prefix + answer.content!r}"
    return check


def completion_tasks():
    ten = "[2, 3, 5, 7]"
    for prefix in ("def generate_prime_number", "def generate_prime_number(n):", "def generate_prime_number(n):\n", "# Python\ndef generate_prime_number"):
        yield Task("continue", prompt=prefix, check=check_continuation(prefix, "generate_prime_number(10)", ten))
    for prefix in ("def quick_sort(arr):", "def quick_sort(arr):\n    if len(arr) <= 1:\n"):
        yield Task("continue", prompt=prefix, check=check_continuation(prefix, "quick_sort([3, 1, 2])", "[1, 2, 3]"))
    prefix = "def quick_sort(arr):"
    yield Task("continue", prompt=f"<|fim_prefix|>{prefix}<|fim_suffix|>", check=check_continuation(prefix, "quick_sort([3, 1, 2])", "[1, 2, 3]"))


def check_middle(prefix, suffix, expression, expected):
    def check(answer):
        whole = prefix + answer.content + suffix
        printed = run_python(whole + f"\nprint({expression})")
        assert printed.strip().split("\n")[-1] == expected, f"{printed!r} from {whole!r}"
    return check


README_PREFIX = "def quicksort(arr):\n    if len(arr) <= 1:\n        return arr\n    pivot = arr[len(arr) // 2]\n    "
README_SUFFIX = "\n    middle = [x for x in arr if x == pivot]\n    right = [x for x in arr if x > pivot]\n    return quicksort(left) + middle + quicksort(right)"
WORDS_DOC = """
    Reverses each word in a string, preserving the position of non-alphabetic characters and word order.
    Example:
    reverse_words_with_special_chars("Hello, world!") -> "olleH, dlrow!"
    Parameters:
    s (str): The input string, which may contain punctuation.
    Returns:
    str: The processed string with words reversed but non-alphabetic characters in their original positions.
    """


def fim_pairs():
    sort = ("quicksort([3, 1, 2, 3])", "[1, 2, 3, 3]")
    yield README_PREFIX, README_SUFFIX, *sort
    yield README_PREFIX.replace("quicksort", "quick_sort"), README_SUFFIX.replace("quicksort", "quick_sort"), "quick_sort([3, 1, 2])", "[1, 2, 3]"
    yield README_PREFIX.rstrip(" "), README_SUFFIX, *sort
    body = README_PREFIX + "left = [x for x in arr if x < pivot]" + README_SUFFIX
    for line in ("return arr", "pivot = arr[len(arr) // 2]", "[x for x in arr if x == pivot]", "[x for x in arr if x > pivot]", "return quicksort(left) + middle + quicksort(right)"):
        at = body.index(line)
        yield body[:at], body[at + len(line):], *sort


def fim_tasks():
    for prefix, suffix, expression, expected in fim_pairs():
        text = f"<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>"
        yield Task("fim_raw", prompt=text, check=check_middle(prefix, suffix, expression, expected), max_tokens=120)
    for prefix, suffix, expression, expected in fim_pairs():
        text = f"<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>"
        yield Task("fim_chat", user(text, "You are a code completion assistant."), check=check_middle(prefix, suffix, expression, expected), max_tokens=120)
    for quotes, indent in (("'''", "    "), ('"""', "    "), ('"""', "")):
        doc = WORDS_DOC if indent else WORDS_DOC.replace("\n    ", "\n")
        prefix = f"def reverse_words_with_special_chars(s):\n{indent}{quotes}{doc}{quotes}\n"
        if not indent:
            continue  # without indentation the guide's text is not Python
        yield Task("fim_guide", prompt=f"<|fim_prefix|>{prefix}<|fim_suffix|>return result<|fim_middle|>",
                   check=check_middle(prefix, "return result", "reverse_words_with_special_chars('Hello, world!').strip()", "olleH, dlrow!"), max_tokens=250)


# ---- Reviews and decisions ----

def check_divide_review(answer):
    text = answer.content.lower()
    assert "zero" in text or "is 0" in text, answer.content
    assert "infinity" in text or "nan" in text, answer.content
    assert 60 < len(text) < 1500, answer.content


def review_tasks():
    code = "function divide(a, b) {\n return a / b;\n}"
    asks = ["Review this JavaScript function for edge cases:\n\n{c}", "Please look at this JavaScript function and tell me its edge cases:\n\n{c}", "Review this JavaScript:\n\n{c}",
            "What could go wrong in this JavaScript function?\n\n{c}", "Review the JavaScript function below.\n\n```javascript\n{c}\n```"]
    for i, ask in enumerate(asks):
        system = ["You are a coding assistant. Explain risks clearly and avoid changing behavior unless asked.", None][i % 2]
        yield Task("review", user(ask.format(c=code if i % 2 == 0 else code.replace("\n ", "\n  ")), system), check=check_divide_review)


def check_decision(keys, actions=("inspect_file", "search_code", "propose_patch", "finish")):
    def check(answer):
        decision = json.loads(answer.content)
        assert set(keys) <= set(decision), f"keys {sorted(decision)}"
        assert decision["action"] in actions, decision["action"]
        assert isinstance(decision["rationale"], str) and decision["rationale"], decision
        if decision["action"] == "inspect_file":
            assert decision["path"], decision
        if decision["action"] == "search_code":
            assert decision["query"], decision
    return check


def decision_tasks():
    guide = ("You are a coding-agent planner. Return JSON only with keys action, path, query, rationale, and final_answer. Allowed actions are inspect_file, "
             "search_code, propose_patch, and finish.")
    short = "You are a coding agent. Answer only in JSON with the keys action, path, query and rationale."
    asks = [(guide, "We need to find why normalize_user crashes when email is missing. Start by choosing the next safe inspection step."),
            (short, "We need to find why normalize_user crashes when email is missing. Start by choosing the next safe inspection step."),
            (short, "Find the bug: parse_invoice returns None for empty files."), (short, "Please find out why load_users in src/users.py raises a KeyError."),
            (guide, "There's a bug in app/views.py, render_page shows nothing. What do we do first?"), (short, "total_price is wrong when a coupon is used. Find the bug."),
            (None, "Find the bug: save_report hangs forever. Return JSON with keys action, path, query, rationale."),
            (None, "The login test fails, find the bug. Answer only in JSON with the keys action, path, query and rationale.")]
    for system, text in asks:
        keys = ["action", "path", "query", "rationale"] + (["final_answer"] if system == guide else [])
        yield Task("decision", user(text, system), check=check_decision(keys))


# ---- Small talk ----

def check_words(*options):
    """Every option is a tuple of alternatives, one of which must appear."""
    def check(answer):
        text = answer.content.lower()
        for alternatives in options:
            assert any(a in text for a in alternatives), f"none of {alternatives} in {answer.content!r}"
        assert len(text) < 500 and not answer.tool_calls, answer
    return check


def talk_tasks():
    toy = check_words(("demo", "toy"))
    for text, check in [("hello", check_words(("hello", "hi"))), ("Hi!", check_words(("hello", "hi"))), ("Hey there, good morning", check_words(("hello", "hi", "morning"))),
                        ("who are you", toy), ("Who are you?", toy), ("Could you tell me who you are?", toy), ("Are you a Qwen model?", check_words(("not a qwen", "no"))),
                        ("What can you do?", check_words(("python", "code"))), ("what can you do for me?", check_words(("python", "code"))), ("thanks", check_words(("welcome",))),
                        ("Thank you very much!", check_words(("welcome",))), ("how are you?", check_words(("fine", "well", "good"))), ("bye", check_words(("bye",)))]:
        yield Task("smalltalk", user(text), check=check)
    joke = check_words(("why", "what", "how", "a ", "i "), ("?", "."))
    yield Task("joke", user("Tell me a joke."), check=joke)
    yield Task("joke", user("can you tell me a joke please"), check=joke)
    yield Task("joke", user("tell me a joke on cats"), check=check_words(("cat",), ("mouse", "?")))
    yield Task("joke", user("Know any jokes about cats?"), check=check_words(("cat",), ("mouse", "?")))
    turns = [{"role": "user", "content": "tell me a joke on cats"}, {"role": "assistant", "content": "here is a joke about cats..."}, {"role": "user", "content": "now a joke on dogs"}]
    yield Task("joke", turns, check=check_words(("dog",)))
    yield Task("joke", turns[:2] + [{"role": "user", "content": "Now tell me one about dogs!"}], check=check_words(("dog",)))


# ---- Many functions ----

def check_function(algorithm, name):
    def check(answer):
        source = code_in(answer.content)
        checks = "\n".join("assert " + algorithm.rename(c, {algorithm.name: name}) for c in algorithm.checks)
        run_python(source + "\n" + checks)
    return check


FUNCTION_ASKS = ["Write a Python function {n} that can {p}.", "Please help me with a Python function to {p}. It has to be named {n}.", "I'd love a function called {n} to {p} in Python.",
                 "Using Python, {p}. The function is to be called {n}."]


def function_tasks():
    from dialogues.catalogue import ALGORITHMS
    for i, algorithm in enumerate(ALGORITHMS):
        if algorithm.kind == "class":
            yield Task("class", user(f"Write a Python class {algorithm.name} to {algorithm.phrases[0]}."), check=check_function(algorithm, algorithm.name))
            continue
        name = algorithm.name if i % 2 == 0 else "my_" + algorithm.name
        phrase = algorithm.phrases[i % len(algorithm.phrases)].format(**{p: p for p in algorithm.params})
        text = FUNCTION_ASKS[i % len(FUNCTION_ASKS)].format(n=name, p=phrase)
        yield Task("function", user(text, [None, "You are a helpful assistant."][i % 2]), check=check_function(algorithm, name))


def required_tasks():
    for make in (prime_tasks, write_tasks, second_turn_tasks, completion_tasks, fim_tasks, review_tasks, decision_tasks, talk_tasks):
        group = None
        for task in make():
            # The first of each group is the wording of the documentation; so is the plainest request for primes.
            documented, group = task.group != group, task.group
            asked = task.messages[-1]["content"] if task.messages else None
            task.must = documented or asked == PRIMES[0]
            yield task
