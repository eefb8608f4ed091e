"""Dialogues and raw completions about small Python functions."""

from dialogues import catalogue
from dialogues.catalogue import Naming
from dialogues.records import third_person

SYSTEMS = ["You are a helpful assistant.", "You are a helpful coding assistant.", "You are a coding assistant.",
           "You are an expert Python programmer.", "You are a Python expert.", "You are a senior software engineer.",
           "You are a programming assistant that writes clean Python code.", "You are an AI assistant.",
           "You write short and correct Python functions.", "Be helpful and brief.", "You are Quern, a small demo model.",
           "You are a coding assistant. Explain risks clearly and avoid changing behavior unless asked.",
           "You are a friendly assistant who helps with code."]

OPENERS = ["", "", "", "", "Please ", "Could you ", "Can you ", "Hi, ", "Hello! ", "Hey, ", "Can you please ", "Would you ", "I'd like you to ",
           "I want you to ", "Help me: ", "Quick task: ", "Hi! Please ", "Okay, ", "Now "]
THAT = [" that ", " that ", " that ", " which ", " to "]
VERBS = ["write", "write", "write", "write me", "create", "implement", "make", "give me", "show me", "generate", "code", "define", "provide"]
OBJECTS = ["a Python function", "a Python function", "a Python function", "a function in Python", "a python function", "a small Python function",
           "a simple Python function", "a short Python function", "a function", "python code", "some Python code", "a method in Python"]
NEEDS = ["I need a Python function", "I need a function in Python", "I'm looking for a Python function", "What would be a Python function",
         "How do I write a Python function", "How can I write a Python function", "Show a Python function", "Python function", "python function",
         "How would you write a function in Python", "Function", "I want a Python function", "Let's write a Python function"]
CODE_ONLY = ["Do not output any non-code content or Markdown code blocks.", "Only output the code.", "Return only code.", "Just the code, please.",
             "Do not output non-code content or Markdown code blocks.", "No explanations, only code.", "Output only the code, without Markdown.",
             "Return only code. Do not include any explanations, comments, or markdown tags.", "Code only.", "Give me only the code.",
             "Answer with code only.", "Don't explain anything, just print the code.", "Do not use Markdown.", "Reply with plain code and nothing else.",
             "Only code, no explanation.", "Respond only with the Python code, no Markdown."]
NAMED = [" Name it {f}.", " Call it {f}.", " The function should be called {f}.", " The function name should be {f}.", " Name the function {f}.",
         " Use the name {f}.", " Please call it {f}.", " It must be named {f}.", " Call the function `{f}`.", " Name it `{f}`."]
WITH_PARAMS = [" It should take {p}.", " The parameter is {p}.", " Use {p} as the parameter.", " The argument should be called {p}."]


def maybe_system(rng, share=0.4):
    return [{"role": "system", "content": rng.choice(SYSTEMS)}] if rng.random() < share else []


def lower_first(text):
    return text[:1].lower() + text[1:]


def polish(text, rng):
    """Capitals, a full stop, a slip now and then: what people type."""
    text = text[:1].upper() + text[1:] if rng.random() < 0.8 else lower_first(text)
    if rng.random() < 0.5 and text.endswith("."):
        text = text[:-1]
    return text


def choose_naming(rng, algorithm):
    """(naming, whether the request must say the function name, whether it must say the parameters)."""
    params = {p: p for p in algorithm.params}
    say_params = bool(algorithm.params) and rng.random() < 0.15
    if say_params:
        params = catalogue.usable_params(algorithm, rng)
    if algorithm.kind == "class" or rng.random() < 0.4:
        return Naming(algorithm, algorithm.name, params), False, say_params
    if rng.random() < 0.5:
        name = rng.choice([algorithm.name] + algorithm.other_names)
    else:
        name = catalogue.invented_name(algorithm, rng)
    if name in algorithm.code and name != algorithm.name:
        name = algorithm.name
    return Naming(algorithm, name, params), True, say_params


def function_request(rng, naming, say_name, say_params):
    algorithm = naming.algorithm
    phrase = naming.phrase(rng.choice(algorithm.phrases))
    named = " " + rng.choice(["", "", "called ", "named "]) + rng.choice([naming.name, naming.name, f"`{naming.name}`"]) if say_name else ""
    signature = f"{naming.name}({', '.join(naming.params.values())})"
    said = False
    if algorithm.kind == "class":
        text = rng.choice(["write a Python class to {ph}", "write a {C} class in Python", "implement a {C} class", "create a class named {C} in Python",
                           "write a Python class {C}", "write a class that can {ph}", "python class {C}", "make a {C} class in Python",
                           "I need a Python class to {ph}"]).format(ph=phrase, C=naming.name)
        return polish(rng.choice(OPENERS) + text + ".", rng)
    form = rng.random()
    if form < 0.5:
        link = rng.choice(THAT)
        inline = say_name and rng.random() < 0.5
        verb = phrase if link == " to " else third_person(phrase)
        text = rng.choice(OPENERS) + rng.choice(VERBS) + " " + rng.choice(OBJECTS) + (named if inline else "") + link + verb + "."
        said = inline
    elif form < 0.68:
        link = rng.choice(THAT)
        verb = phrase if link == " to " else third_person(phrase)
        need = rng.choice(NEEDS)
        text = need + link + verb + ("?" if need[:3] in ("How", "Wha") else ".")
    elif form < 0.8:
        text = rng.choice(OPENERS) + phrase + rng.choice([" in Python.", " in Python.", " with Python.", " using Python.", " (Python)."])
    elif form < 0.87 and not say_name and not say_params:
        text = rng.choice(OPENERS) + rng.choice(["write {h} in Python.", "implement {h} in Python.", "{h} in python", "python {h}", "show me {h} in Python.",
                                                 "how does {h} look in Python?", "code for {h} in Python", "{h} function in Python please",
                                                 "write a {h} function.", "write a {h} function in Python."]).format(h=naming.human())
    elif form < 0.95:
        text = rng.choice(OPENERS) + rng.choice([f"implement the function {signature}: it should {phrase}.", f"write def {signature} to {phrase}.",
                                                 f"define {signature} in Python. It should {phrase}.", f"complete the function {signature}, which should {phrase}.",
                                                 f"write the body of `def {signature}:`, it should {phrase}."])
        say_name = say_params = False
    else:
        text = rng.choice(["I have to {ph}. How do I do that in Python?", "How do I {ph} in Python?", "How can I {ph} with Python?",
                           "What is the best way to {ph} in Python?", "How to {ph} in python?"]).format(ph=phrase)
    if say_name and not said:
        text += rng.choice(NAMED).format(f=naming.name)
    if say_params:
        text += rng.choice(WITH_PARAMS).format(p=" and ".join(naming.params.values()))
    return polish(text, rng)


def fenced_answer(naming):
    if naming.algorithm.kind == "class":
        return f"Here is a Python class {naming.name}:\n\n```python\n{naming.code()}\n```"
    return (f"Here is a Python function that {naming.describes()}:\n\n```python\n{naming.code()}\n```\n\n"
            f"You can call it like this: `{naming.example()}`")


def function_dialogue(rng):
    naming, say_name, say_params = choose_naming(rng, catalogue.pick(rng))
    request = function_request(rng, naming, say_name, say_params)
    if rng.random() < 0.3:
        request = request.rstrip() + ("" if request.rstrip()[-1] in ".?!" else ".") + " " + rng.choice(CODE_ONLY)
        answer = naming.code()
    else:
        answer = fenced_answer(naming)
    messages = maybe_system(rng) + [{"role": "user", "content": request}, {"role": "assistant", "content": answer}]
    return messages, None


# ---- Scripts ----

COUNTED = {"generate_prime_number": ("prime numbers", "primes", "prime_numbers"), "fibonacci_sequence": ("the first {k} Fibonacci numbers",) * 2 + ("numbers",),
           "fizz_buzz": ("FizzBuzz", "FizzBuzz", "lines")}


def script_text(naming, number=None):
    if number is not None:
        variable = COUNTED[naming.algorithm.name][2]
        return f"{naming.code()}\n\n\n{variable} = {naming.name}({number})\nprint({variable})"
    return f"{naming.code()}\n\n\nif __name__ == \"__main__\":\n    print({naming.example()})"


def prime_script_dialogue(rng):
    """A script for primes up to a number; sometimes the user has begun the answer (partial mode)."""
    naming = catalogue.plain(catalogue.BY_NAME["generate_prime_number"])
    number = rng.choice([10, 20, 30, 50, 100, 100, 200, 500, 1000, rng.randint(5, 999)])
    text = rng.choice(OPENERS) + rng.choice(
        ["write a Python script to generate prime numbers up to {k}", "write a Python script that generates primes up to {k}",
         "write a Python program that prints all prime numbers up to {k}", "create a script that lists the prime numbers up to {k}",
         "print the primes up to {k} in Python", "write a script for the prime numbers up to {k}",
         "generate prime numbers up to {k} with a Python script", "make a Python script which computes all primes up to {k}"]).format(k=number) + "."
    code_only = rng.random() < 0.7
    script = script_text(naming, number)
    if code_only:
        text += " " + rng.choice(CODE_ONLY)
        answer = script
    else:
        answer = f"Here is a Python script that generates prime numbers up to {number}:\n\n```python\n{script}\n```"
    return maybe_system(rng) + [{"role": "user", "content": polish(text, rng)}, {"role": "assistant", "content": answer}], None


def script_dialogue(rng):
    if rng.random() < 0.25:
        return prime_script_dialogue(rng)
    algorithm = catalogue.pick(rng)
    if algorithm.kind == "class":
        return function_dialogue(rng)
    naming = catalogue.plain(algorithm)
    text = rng.choice(OPENERS) + rng.choice(["write a Python script to {ph}.", "write a Python {h} script.", "write a Python script that can {ph}.",
                                             "create a Python program to {ph}.", "give me a script for {h} in Python.", "make a small Python script to {ph}.",
                                             "write a complete Python program for {h}."]).format(ph=naming.phrase(rng.choice(algorithm.phrases)), h=naming.human())
    script = script_text(naming)
    if rng.random() < 0.3:
        text += " " + rng.choice(CODE_ONLY)
        answer = script
    else:
        answer = f"Here is a Python script that {naming.describes()}:\n\n```python\n{script}\n```"
    return maybe_system(rng) + [{"role": "user", "content": polish(text, rng)}, {"role": "assistant", "content": answer}], None


# ---- Raw completions ----

def any_naming(rng, sort_share=0.0):
    algorithm = catalogue.pick(rng)
    if rng.random() < sort_share:
        algorithm = catalogue.BY_NAME[rng.choice(["quick_sort"] * 3 + ["reverse_words_with_special_chars"])]
    if algorithm.kind == "class":
        return catalogue.plain(algorithm)
    name = algorithm.name
    if rng.random() < 0.4:
        name = rng.choice([algorithm.name] + algorithm.other_names)
    params = {p: p for p in algorithm.params}
    if rng.random() < 0.2:
        params = catalogue.usable_params(algorithm, rng)
    if name != algorithm.name and name in algorithm.code:
        name = algorithm.name
    return Naming(algorithm, name, params)


def raw_document(rng):
    """Plain source text that starts with the function, so that any prefix of it continues well."""
    naming = any_naming(rng)
    code = naming.code()
    head = ""
    if rng.random() < 0.3:
        head = rng.choice(["# {d}\n", "# {h}\n", "# Python function that {d}\n", "# A function that {d}\n", "#!/usr/bin/env python3\n\n", '"""{h}"""\n\n\n',
                           "# write a function that {d}\n", "# {h} in Python\n"]).format(d=naming.describes(), h=naming.human())
    if naming.algorithm.name in COUNTED and rng.random() < 0.6:
        body = script_text(naming, rng.choice([10, 20, 50, 100, 100]))
    elif rng.random() < 0.3 and naming.algorithm.kind == "function":
        body = script_text(naming)
    else:
        body = code
    return head + body + "\n"


def with_docstring(rng, naming):
    """The function with a docstring, in one of the usual layouts, indented or not."""
    code = naming.code()
    if naming.algorithm.kind == "class" or not code.startswith("def "):
        return code
    first, rest = code.split("\n", 1)
    quote = rng.choice(['"""', "'''"])
    text = third_person(naming.phrase(rng.choice(naming.algorithm.phrases)))
    text = text[:1].upper() + text[1:] + "."
    arguments = list(naming.params.values())
    indent = rng.choice(["    ", "    ", "    ", ""])
    lines = [f"{indent}{quote}{text}{quote}"]
    form = rng.randrange(3)
    if form == 1:
        lines = [f"{indent}{quote}", f"{indent}{text}", f"{indent}{quote}"]
    elif form == 2:
        lines = [f"{indent}{quote}", f"{indent}{text}", "", f"{indent}Example:", f"{indent}{naming.example()}", "", f"{indent}Parameters:"]
        kind = rng.choice(["", " (str)", " (int)"])
        lines += [f"{indent}{a}{kind}: " + rng.choice(["the input.", "The input.", "The input string, which may contain punctuation."]) for a in arguments]
        lines += ["", f"{indent}Returns:", indent + rng.choice(["The result.", "str: The processed string.", "The processed value.", "str: The result."]), f"{indent}{quote}"]
        if rng.random() < 0.6:
            lines = [line for line in lines if line]
    return first + "\n" + "\n".join(lines) + "\n" + rest


def fim_parts(rng):
    """(prefix, suffix, middle) inside a known function: a line, several lines, the body, or a whole tail."""
    while True:
        parts = any_fim_parts(rng)
        if parts[2].strip():  # an empty middle is an easy answer that a small model then gives too often
            return parts


def any_fim_parts(rng):
    naming = any_naming(rng, sort_share=0.4)
    code = with_docstring(rng, naming) if rng.random() < 0.35 else naming.code()
    if rng.random() < 0.3:
        code = code + "\n"
    lines = code.split("\n")
    form = rng.random()
    start = next(i for i, l in enumerate(lines) if l.startswith(("def ", "class ")))
    if form < 0.12:
        # Only the head is known.
        head = "\n".join(lines[:start + 1])
        if rng.random() < 0.3:
            head = head[:rng.randint(max(4, len(head) - 12), len(head))]
        return head, "", code[len(head):]
    if form < 0.24:
        # The head (with its docstring) and the last line are known.
        tail = lines[-1] or lines[-2]
        cut = code.rindex(tail)
        body = naming.code().split("\n", 1)[1] if naming.code().startswith("def ") else None
        first = code.find(body) if body else len(lines[start]) + code.find(lines[start]) + 1
        if first <= 0 or first >= cut:
            return code[:len(code) // 2], code[len(code) // 2 + 3:], code[len(code) // 2:len(code) // 2 + 3]
        strip = len(tail) - len(tail.lstrip())
        border = cut + strip if rng.random() < 0.5 else cut
        return code[:first], code[border:], code[first:border]
    if form < 0.85:
        # One whole line or its rest; the indentation is on the prefix's side or not.
        i = rng.randrange(start + 1, len(lines))
        at = len("\n".join(lines[:i])) + 1
        line = lines[i]
        indent = len(line) - len(line.lstrip())
        cut = rng.choice([0, indent, indent, indent, rng.randint(indent, max(indent, len(line)))])
        return code[:at + cut], code[at + len(line):], line[cut:]
    a = rng.randint(0, max(0, len(code) - 8))
    b = min(len(code), a + rng.randint(3, max(4, len(code) // 2)))
    return code[:a], code[b:], code[a:b]


def fim_text(prefix, suffix):
    return f"<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>"


FIM_SYSTEMS = ["You are a code completion assistant.", "You are a code completion assistant.", "You are a code completion assistant.",
               "You complete code.", "You are a fill-in-the-middle assistant.", "You are a coding assistant."]


def fim_chat_dialogue(rng):
    prefix, suffix, middle = fim_parts(rng)
    if not middle.strip() or middle != middle.lstrip("\n"):
        return fim_chat_dialogue(rng)
    messages = [{"role": "system", "content": rng.choice(FIM_SYSTEMS)}] if rng.random() < 0.85 else []
    return messages + [{"role": "user", "content": fim_text(prefix, suffix)}, {"role": "assistant", "content": middle}], None


# ---- Follow-up questions on code ----

def explain_dialogue(rng):
    naming = any_naming(rng)
    if naming.algorithm.kind == "class":
        return function_dialogue(rng)
    ask = rng.choice(["What does this function do?", "Explain this code:", "Explain this Python function.", "What does this code do?", "Can you explain this function?",
                      "Describe this code in one sentence.", "What is the purpose of this function?", "Tell me what this does:"])
    code = naming.code()
    block = rng.choice([f"```python\n{code}\n```", code])
    answer = f"The function `{naming.name}` {naming.describes()}. For example, you can call `{naming.example()}`."
    return maybe_system(rng) + [{"role": "user", "content": f"{ask}\n\n{block}"}, {"role": "assistant", "content": answer}], None


def two_turn_dialogue(rng):
    first, _ = function_dialogue(rng)
    second, _ = rng.choice([function_dialogue, function_dialogue, explain_dialogue])(rng)
    messages = first + [m for m in second if m["role"] != "system"]
    if rng.random() < 0.5:
        thanks = rng.choice(["Thanks!", "Thank you.", "thanks", "Great, thank you!", "Perfect, thanks."])
        messages += [{"role": "user", "content": thanks}, {"role": "assistant", "content": "You're welcome! Let me know if you need anything else."}]
    return messages, None
