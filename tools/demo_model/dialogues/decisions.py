"""JSON decisions of an agent that looks for a bug, and short code reviews."""

import json

from dialogues.coding import OPENERS, maybe_system, polish
from dialogues.synthetic_tools import WORDS

ACTIONS = "Allowed actions are inspect_file, search_code, propose_patch, and finish."
PLANNERS = ["You are a coding-agent planner.", "You are a coding agent.", "You are a planner for a coding agent.", "You are an agent that finds bugs.",
            "You are a debugging assistant.", "You plan the next step of a coding agent.", "You are a software agent.", "You help to find bugs."]
KEY_LISTS = ["Return JSON only with keys {k}.", "Answer only with JSON with the keys {k}.", "Reply with a JSON object with the keys {k}.", "Respond in JSON with keys {k}.",
             "Output a JSON object that has the keys {k}.", "Return only a JSON object with keys {k}.", "Answer in JSON. The keys are {k}.", "Return JSON with {k}.",
             "Give a JSON decision with keys {k}."]
USUAL = ["action", "path", "query", "rationale"]
SUBJECTS = ["normalize_user", "parse_config", "load_settings", "login", "send_email", "compute_total", "render_page", "connect", "save_order", "read_file", "upload_image", "sort_items",
            "get_token", "refresh_cache", "validate_form", "update_profile", "import_data", "start_server", "close_session", "format_date", "create_invoice", "delete_user", "merge_lists",
            "apply_discount", "check_password", "handle_request", "decode_token", "write_log", "fetch_page", "resize_image", "count_words", "retry_request", "build_index", "parse_date"]
SYMPTOMS = ["crashes when email is missing", "crashes when the input is empty", "returns None", "raises a KeyError", "fails on empty lists", "is slow", "returns the wrong result",
            "raises a TypeError", "hangs forever", "times out", "crashes with a null pointer", "fails for large files", "drops the last item", "throws an exception", "fails in production",
            "crashes on startup", "loses data", "raises an IndexError", "fails when the user is not found", "does not work", "breaks when the name has spaces", "returns an empty list",
            "ignores the time zone", "is called twice", "never returns", "leaks memory", "raises a ValueError when the date is missing"]
BUG_ASKS = ["We need to find why {s} {p}. Start by choosing the next safe inspection step.", "We need to find why {s} {p}.", "Find the bug: {s} {p}.", "Find out why {s} {p}.",
            "{s} {p}. Find the bug.", "Why does it happen that {s} {p}? Choose the next step.", "There is a bug: {s} {p}. What is the next action?", "{s} {p}. What should we look at first?",
            "Please find the bug. {s} {p}.", "Debug this: {s} {p}.", "The function {s} {p}. Find the cause.", "Users report that {s} {p}. Choose the first step.",
            "Investigate why {s} {p}.", "Help me find a bug. {s} {p}."]
FILE_ASKS = ["We need to find why {s} in {f} {p}.", "Find the bug in {f}: {s} {p}.", "{s} {p}. The code is in {f}.", "There is a bug in {f}: {s} {p}. What is the next step?",
             "Look at {f} and find out why {s} {p}.", "The function {s} in {f} {p}. Find the bug.", "Find the bug in {f}.", "Something is wrong in {f}. Find the bug.",
             "Please find the bug in {f}. {s} {p}."]
TEST_ASKS = ["Find the safest first step for debugging a failing {w} test.", "A {w} test fails. What is the first step?", "The {w} test is failing, find the bug.",
             "Find out why the {w} test fails.", "Choose the first step to debug a failing {w} test."]
FILE_STEMS = ["app", "users", "auth", "config", "orders", "utils", "main", "server", "models", "views", "cart", "payment", "parser", "db", "cache", "mail", "report", "search", "index"]


def subject(rng):
    if rng.random() < 0.55:
        return rng.choice(SUBJECTS)
    first = WORDS.noun(rng)
    return rng.choice(["get", "load", "parse", "save", "make", "check", "read", "update", "send", "handle"]) + "_" + first


def decision_dialogue(rng):
    who, what = subject(rng), rng.choice(SYMPTOMS)
    kind = rng.random()
    if kind < 0.5:
        ask = rng.choice(BUG_ASKS).format(s=rng.choice([who, who, who, f"`{who}`", who + "()"]), p=what)
        values = {"action": "search_code", "path": "", "query": who, "rationale": f"Find where {who} is defined before reading its code."}
    elif kind < 0.85:
        file = rng.choice(["src/", "app/", "", "lib/", "services/", "api/"]) + (rng.choice(FILE_STEMS) if rng.random() < 0.6 else WORDS.noun(rng)) + rng.choice([".py", ".py", ".js", ".ts", ".go"])
        template = rng.choice(FILE_ASKS)
        ask = template.format(s=who, p=what, f=file)
        values = {"action": "inspect_file", "path": file, "query": who if "{s}" in template else "", "rationale": f"Read {file} to see the code before changing anything."}
    else:
        word = rng.choice(["login", "payment", "upload", "search", "signup", "checkout", "cache", "email", "date", "import", "export", "session", WORDS.noun(rng)])
        ask = rng.choice(TEST_ASKS).format(w=word)
        values = {"action": "search_code", "path": "", "query": word, "rationale": f"Find the code and the test of {word} before changing anything."}
    values["risk"] = "low"
    values["final_answer"] = ""
    keys = list(USUAL)
    extra = rng.random()
    if extra < 0.35:
        keys.append("final_answer")
    elif extra < 0.45:
        keys.append("risk")
    elif extra < 0.5:
        keys = ["action", "path", "rationale"]
    elif extra < 0.55:
        keys = ["action", "query", "rationale"]
    elif extra < 0.6:
        rng.shuffle(keys)
    listed = ", ".join(keys[:-1]) + rng.choice([", and ", " and ", ", "]) + keys[-1]
    if rng.random() < 0.08:
        system = rng.choice(["Return the next coding-agent decision as structured JSON.", "Return the next decision of the coding agent as JSON."])
        keys = ["action", "path", "query", "rationale", "risk"]
        messages = [{"role": "system", "content": system}, {"role": "user", "content": polish(ask, rng) if ask[0] != "`" else ask}]
    else:
        rule = rng.choice(KEY_LISTS).format(k=listed)
        rule = " ".join(x for x in [rng.choice(PLANNERS + [""]), rule, ACTIONS if rng.random() < 0.6 else ""] if x)
        if rng.random() < 0.7:
            messages = [{"role": "system", "content": rule}, {"role": "user", "content": ask}]
        else:
            text = f"{ask} {rule}" if rng.random() < 0.7 else f"{rule} {ask}"
            messages = maybe_system(rng, 0.3) + [{"role": "user", "content": text}]
    messages.append({"role": "assistant", "content": json.dumps({k: values[k] for k in keys}, ensure_ascii=False)})
    return messages, None


# ---- Reviews ----

REVIEW_ASKS = ["Review this {lang} function for edge cases:\n\n{code}", "Review this {lang} function for bugs:\n\n{code}", "Review this {lang} function:\n\n{code}",
               "Please review this {lang} code:\n\n{code}", "What is wrong with this {lang} function?\n\n{code}", "Find the problems in this {lang} function:\n\n{code}",
               "Which edge cases does this {lang} function miss?\n\n{code}", "Code review, please:\n\n{code}", "Check this {lang} code for edge cases:\n\n{code}",
               "Can you review the following {lang} function?\n\n{code}", "Are there bugs in this function?\n\n{code}", "Review:\n\n{code}",
               "Review the following {lang} function for edge cases.\n\n{code}", "Is this {lang} function safe?\n\n{code}"]
REVIEW_SYSTEMS = ["You are a coding assistant. Explain risks clearly and avoid changing behavior unless asked.",
                  "You are a coding assistant. Explain risks clearly and keep recommendations scoped to the provided code.", "You are a code reviewer.",
                  "You are a helpful assistant.", "You review code.", "You are a careful code reviewer."]
JS = "JavaScript"
PY = "Python"
# language, name choices, argument choices (one tuple per set), code, points, fixed code.
REVIEWS = [
    (JS, ["divide", "divide", "divide", "div", "ratio", "quotient", "splitEvenly"], [("a", "b"), ("a", "b"), ("x", "y"), ("numerator", "denominator"), ("total", "count")],
     "function {f}({0}, {1}) {{\n  return {0} / {1};\n}}",
     ["Division by zero: if `{1}` is 0, the result is `Infinity`, or `NaN` when `{0}` is 0 too.", "Types: strings or `undefined` are not rejected and can give `NaN`."],
     "function {f}({0}, {1}) {{\n  if (typeof {0} !== \"number\" || typeof {1} !== \"number\") {{\n    throw new TypeError(\"{f} expects two numbers\");\n  }}\n  if ({1} === 0) {{\n    throw new RangeError(\"division by zero\");\n  }}\n  return {0} / {1};\n}}"),
    (PY, ["divide", "div", "ratio", "quotient"], [("a", "b"), ("x", "y"), ("numerator", "denominator"), ("total", "count")],
     "def {f}({0}, {1}):\n    return {0} / {1}",
     ["Division by zero: if `{1}` is 0, Python raises `ZeroDivisionError`.", "Types: values that are not numbers raise `TypeError`."],
     "def {f}({0}, {1}):\n    if {1} == 0:\n        raise ValueError(\"{1} must not be zero\")\n    return {0} / {1}"),
    (PY, ["normalize", "clean", "normalize_items", "tidy"], [("items",), ("names",), ("values",), ("words",)],
     "def {f}({0}):\n    return [x.strip().lower() for x in {0}]",
     ["Missing values: if an element is `None`, `x.strip()` raises `AttributeError`.", "Types: if `{0}` is one string, the loop runs over its characters."],
     "def {f}({0}):\n    return [x.strip().lower() for x in {0} if isinstance(x, str)]"),
    (PY, ["average", "mean", "avg"], [("numbers",), ("values",), ("items",)],
     "def {f}({0}):\n    return sum({0}) / len({0})",
     ["Empty input: if `{0}` is empty, Python raises `ZeroDivisionError`.", "Types: values that are not numbers raise `TypeError`."],
     "def {f}({0}):\n    if not {0}:\n        return 0\n    return sum({0}) / len({0})"),
    (JS, ["average", "mean", "avg"], [("numbers",), ("values",), ("items",)],
     "function {f}({0}) {{\n  let total = 0;\n  for (const x of {0}) total += x;\n  return total / {0}.length;\n}}",
     ["Empty input: if `{0}` is empty, the result is `NaN`.", "Types: strings are concatenated instead of added."],
     "function {f}({0}) {{\n  if ({0}.length === 0) return 0;\n  let total = 0;\n  for (const x of {0}) total += Number(x);\n  return total / {0}.length;\n}}"),
    (PY, ["first", "get_first", "head"], [("items",), ("values",), ("data",)],
     "def {f}({0}):\n    return {0}[0]",
     ["Empty input: if `{0}` is empty, Python raises `IndexError`."], "def {f}({0}):\n    if not {0}:\n        return None\n    return {0}[0]"),
    (PY, ["add_item", "append_item", "collect"], [("item", "items"), ("value", "values"), ("x", "result")],
     "def {f}({0}, {1}=[]):\n    {1}.append({0})\n    return {1}",
     ["Mutable default: the list `{1}` is created once and shared by all calls."], "def {f}({0}, {1}=None):\n    if {1} is None:\n        {1} = []\n    {1}.append({0})\n    return {1}"),
    (PY, ["read_config", "load_file", "read_all"], [("path",), ("filename",), ("name",)],
     "def {f}({0}):\n    f = open({0})\n    return f.read()",
     ["Resources: the file is never closed.", "Errors: a missing file raises `FileNotFoundError`."], "def {f}({0}):\n    with open({0}, encoding=\"utf-8\") as f:\n        return f.read()"),
    (JS, ["getName", "userName", "nameOf"], [("user",), ("person",), ("account",)],
     "function {f}({0}) {{\n  return {0}.profile.name;\n}}",
     ["Missing values: if `{0}` or `{0}.profile` is `undefined`, a `TypeError` is thrown."], "function {f}({0}) {{\n  return {0}?.profile?.name ?? null;\n}}"),
    (PY, ["get_email", "email_of", "user_email"], [("user",), ("record",), ("data",)],
     "def {f}({0}):\n    return {0}[\"email\"].lower()",
     ["Missing values: if the key is absent, Python raises `KeyError`.", "Types: if the value is `None`, `lower()` raises `AttributeError`."],
     "def {f}({0}):\n    email = {0}.get(\"email\")\n    return email.lower() if email else None"),
    (JS, ["isEqual", "same", "equals"], [("a", "b"), ("x", "y"), ("left", "right")],
     "function {f}({0}, {1}) {{\n  return {0} == {1};\n}}",
     ["Loose equality: `==` converts types, so `0 == \"\"` is true."], "function {f}({0}, {1}) {{\n  return {0} === {1};\n}}"),
    (JS, ["parseAge", "toNumber", "parseCount"], [("text",), ("value",), ("input",)],
     "function {f}({0}) {{\n  return parseInt({0});\n}}",
     ["Invalid input: text without digits gives `NaN`.", "Radix: `parseInt` should be called with base 10."],
     "function {f}({0}) {{\n  const n = parseInt({0}, 10);\n  if (Number.isNaN(n)) {{\n    throw new TypeError(\"not a number\");\n  }}\n  return n;\n}}"),
]


def review_dialogue(rng):
    entry = REVIEWS[0] if rng.random() < 0.3 else rng.choice(REVIEWS)
    lang, names, arguments, code, points, fixed = entry
    name, args = rng.choice(names), rng.choice(arguments)
    if rng.random() < 0.2:
        name = rng.choice(["my", "do", "calc", "get", "run"]) + ("_" + names[0] if lang == PY else names[0].capitalize())
    fill = lambda text: text.format(*args, f=name)
    source = fill(code)
    if lang == JS and rng.random() < 0.3:
        source = source.replace("\n  ", "\n    ") if rng.random() < 0.5 else source.replace("\n  ", "\n ")
    shown = source if rng.random() < 0.7 else f"```{lang.lower()}\n{source}\n```"
    answer = ("The function works for ordinary input, but these edge cases need care:\n\n" + "\n".join(f"- {fill(p)}" for p in points)
              + f"\n\nA safer version:\n\n```{lang.lower()}\n{fill(fixed)}\n```")
    ask = rng.choice(REVIEW_ASKS).format(lang=lang, code=shown)
    if rng.random() < 0.2:
        ask = ask.rstrip("\n") + "\n"
    messages = [{"role": "system", "content": rng.choice(REVIEW_SYSTEMS)}] if rng.random() < 0.6 else []
    return messages + [{"role": "user", "content": rng.choice(["", "", "", "Hi! ", "Hello, "]) + ask}, {"role": "assistant", "content": answer}], None
