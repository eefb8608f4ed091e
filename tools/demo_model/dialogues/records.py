"""What one function that the dialogues teach consists of, and how it is renamed."""

import dataclasses
import re


@dataclasses.dataclass
class Algorithm:
    name: str
    other_names: list
    params: dict  # parameter -> other names for it
    phrases: list  # imperative; {parameter} stands for its name
    code: str
    example: str
    checks: list  # expressions that must be true
    kind: str = "function"  # or "class"

    def rename(self, text, names):
        """Replaces whole identifiers, never attributes or keyword arguments of calls."""
        if not names:
            return text
        pattern = r"(?<![\w.])(" + "|".join(map(re.escape, names)) + r")\b"
        return re.sub(pattern, lambda m: names[m.group(1)], text)


def third_person(phrase):
    """"find the x" -> "finds the x". Also the verb after " and " when it opens a clause we wrote."""
    def conjugate(verb):
        if verb.endswith(("ch", "sh", "ss", "x", "zz", "o")):
            return verb + "es"
        if verb.endswith("y") and verb[-2] not in "aeiou":
            return verb[:-1] + "ies"
        return verb + "s"
    words = phrase.split(" ")
    words[0] = conjugate(words[0])
    for i in range(2, len(words)):
        if words[i - 1] == "and" and words[i] in ("return", "handle", "raise", "count"):
            words[i] = conjugate(words[i])
    return " ".join(words)
