"""All algorithms in one list, and how one request names them (function name, parameter names, file name)."""

import dataclasses

from dialogues import algorithms_lists, algorithms_numbers, algorithms_text
from dialogues.records import third_person

ALGORITHMS = algorithms_numbers.ALGORITHMS + algorithms_lists.ALGORITHMS + algorithms_text.ALGORITHMS
BY_NAME = {a.name: a for a in ALGORITHMS}

# What people ask for most, and what the tests ask for, comes up more often.
FREQUENT = {"find_primes": 9, "quick_sort": 7, "generate_prime_number": 4, "is_prime": 2, "factorial": 2, "fibonacci": 2,
            "reverse_string": 2, "is_palindrome": 2, "bubble_sort": 2, "merge_sort": 2, "binary_search": 2,
            "reverse_words_with_special_chars": 3, "fizz_buzz": 2}
WEIGHTS = [FREQUENT.get(a.name, 1) for a in ALGORITHMS]


@dataclasses.dataclass
class Naming:
    """One algorithm as one user wants it named."""
    algorithm: object
    name: str
    params: dict  # our parameter -> the user's

    def mapping(self):
        names = {self.algorithm.name: self.name} if self.name != self.algorithm.name else {}
        names.update({k: v for k, v in self.params.items() if k != v})
        return names

    def code(self):
        return self.algorithm.rename(self.algorithm.code, self.mapping())

    def example(self):
        return self.algorithm.rename(self.algorithm.example, {self.algorithm.name: self.name})

    def phrase(self, phrase):
        return phrase.format(**self.params)

    def describes(self):
        """The canonical description, third person: "returns all primes below n"."""
        return third_person(self.phrase(self.algorithm.phrases[0]))

    def human(self):
        return self.algorithm.name.replace("_", " ")


def pick(rng):
    return rng.choices(ALGORITHMS, WEIGHTS)[0]


def plain(algorithm):
    return Naming(algorithm, algorithm.name, {p: p for p in algorithm.params})


def usable_params(algorithm, rng):
    """Other parameter names that do not collide with identifiers of the code."""
    import re
    used = set(re.findall(r"[A-Za-z_]\w*", algorithm.code))
    out, taken = {}, set()
    for p, others in algorithm.params.items():
        choices = [o for o in others if o not in used and o not in taken]
        out[p] = rng.choice(choices) if choices else p
        taken.add(out[p])
    return out


def invented_name(algorithm, rng):
    """A name the algorithm has nowhere else: copying must work for any name."""
    stem = rng.choice([algorithm.name] + algorithm.other_names)
    form = rng.randrange(6)
    if form == 0:
        return "my_" + stem
    if form == 1:
        return stem + "_" + rng.choice(["v2", "fast", "demo", "impl", "helper", "func", "simple", "test", "new"])
    if form == 2:
        return rng.choice(["do", "run", "get", "calc", "make", "compute", "solve", "try", "simple", "the"]) + "_" + stem
    if form == 3:
        parts = stem.split("_")
        return parts[0] + "".join(p.capitalize() for p in parts[1:])
    if form == 4:
        return rng.choice("abcdefghkmprstuvwxz") + rng.choice(["", "_"]) + stem
    return rng.choice(["foo", "bar", "baz", "solution", "solve", "func", "answer", "helper", "task", "job", "process",
                       "f", "g", "run", "main_function", "my_function", "my_func", "do_it", "calc", "work"])
