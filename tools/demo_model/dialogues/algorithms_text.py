"""Small Python functions about strings, and small classes. Columns as in algorithms_numbers.py."""

from dialogues.records import Algorithm as A

ALGORITHMS = [
    A("reverse_string", ["reverse_text", "string_reverse", "reverse"], {"text": ["s", "string", "word"]},
      ["reverse a string", "return a string backwards", "return the reverse of {text}", "reverse the characters of a string"],
      """def reverse_string(text):
    return text[::-1]""", "reverse_string('hello')", ["reverse_string('abc') == 'cba'", "reverse_string('') == ''"]),
    A("is_palindrome", ["palindrome", "check_palindrome", "palindrome_check"], {"text": ["s", "string", "word"]},
      ["check if a string is a palindrome", "tell whether {text} is a palindrome", "test for palindromes", "check whether a word reads the same backwards",
       "check palindromes"],
      """def is_palindrome(text):
    cleaned = [c.lower() for c in text if c.isalnum()]
    return cleaned == cleaned[::-1]""", "is_palindrome('Never odd or even')", ["is_palindrome('Never odd or even')", "not is_palindrome('hello')"]),
    A("count_vowels", ["vowel_count", "number_of_vowels"], {"text": ["s", "string", "word"]},
      ["count the vowels in a string", "return the number of vowels in {text}", "count how many vowels a string has"],
      """def count_vowels(text):
    return sum(1 for c in text.lower() if c in "aeiou")""", "count_vowels('hello world')", ["count_vowels('hello world') == 3"]),
    A("count_words", ["word_count", "number_of_words"], {"text": ["s", "sentence", "string"]},
      ["count the words in a string", "return the number of words in {text}", "count how many words a sentence has"],
      """def count_words(text):
    return len(text.split())""", "count_words('the quick brown fox')", ["count_words('the quick brown fox') == 4", "count_words('') == 0"]),
    A("word_frequency", ["word_frequencies", "count_each_word", "word_counts"], {"text": ["s", "sentence", "string"]},
      ["count how often each word occurs in a text", "return the word frequencies of {text}", "compute word counts", "count the occurrences of each word"],
      """def word_frequency(text):
    counts = {}
    for word in text.lower().split():
        counts[word] = counts.get(word, 0) + 1
    return counts""", "word_frequency('a rose is a rose')", ["word_frequency('a b A') == {'a': 2, 'b': 1}"]),
    A("char_frequency", ["count_characters", "letter_counts"], {"text": ["s", "string", "word"]},
      ["count how often each character occurs in a string", "return the character frequencies of {text}", "count the letters of a word"],
      """def char_frequency(text):
    counts = {}
    for c in text:
        counts[c] = counts.get(c, 0) + 1
    return counts""", "char_frequency('banana')", ["char_frequency('aab') == {'a': 2, 'b': 1}"]),
    A("is_anagram", ["anagrams", "check_anagram", "are_anagrams"], {"a": ["first", "s1"], "b": ["second", "s2"]},
      ["check if two strings are anagrams", "tell whether {a} and {b} are anagrams", "test two words for being anagrams"],
      """def is_anagram(a, b):
    return sorted(a.replace(" ", "").lower()) == sorted(b.replace(" ", "").lower())""", "is_anagram('listen', 'silent')",
      ["is_anagram('listen', 'silent')", "not is_anagram('ab', 'cd')"]),
    A("capitalize_words", ["title_case", "capitalize_each_word"], {"text": ["s", "sentence", "string"]},
      ["capitalize every word of a string", "capitalize the first letter of each word", "turn {text} into title case"],
      """def capitalize_words(text):
    return " ".join(word.capitalize() for word in text.split(" "))""", "capitalize_words('hello big world')", ["capitalize_words('hello big world') == 'Hello Big World'"]),
    A("reverse_words", ["reverse_sentence", "words_reversed"], {"text": ["s", "sentence", "string"]},
      ["reverse the order of words in a sentence", "reverse the words of a string", "return the words of {text} in reverse order"],
      """def reverse_words(text):
    return " ".join(reversed(text.split()))""", "reverse_words('one two three')", ["reverse_words('one two three') == 'three two one'"]),
    A("reverse_words_with_special_chars", ["reverse_each_word", "reverse_letters_in_words"], {"s": ["text", "string"]},
      ["reverse each word in a string and keep special characters in place", "reverse the letters of every word but leave punctuation where it is",
       "reverse each word, preserving the position of non-alphabetic characters"],
      """def reverse_words_with_special_chars(s):
    words = []
    for word in s.split(" "):
        letters = [c for c in word if c.isalpha()]
        reversed_word = ""
        for c in word:
            if c.isalpha():
                reversed_word += letters.pop()
            else:
                reversed_word += c
        words.append(reversed_word)
    result = " ".join(words)
    return result""", "reverse_words_with_special_chars('Hello, world!')",
      ["reverse_words_with_special_chars('Hello, world!') == 'olleH, dlrow!'"]),
    A("caesar_cipher", ["caesar", "caesar_encrypt", "shift_letters"], {"text": ["message", "s"], "shift": ["key", "k"]},
      ["encrypt a text with a Caesar cipher", "implement the Caesar cipher", "shift every letter of {text} by {shift}"],
      """def caesar_cipher(text, shift):
    result = ""
    for c in text:
        if c.isalpha():
            base = ord("A") if c.isupper() else ord("a")
            result += chr((ord(c) - base + shift) % 26 + base)
        else:
            result += c
    return result""", "caesar_cipher('Hello', 3)", ["caesar_cipher('Hello, z', 3) == 'Khoor, c'"]),
    A("remove_spaces", ["strip_spaces", "delete_whitespace"], {"text": ["s", "string"]},
      ["remove all spaces from a string", "delete the whitespace in {text}", "strip every space from a string"],
      """def remove_spaces(text):
    return "".join(text.split())""", "remove_spaces('a b c')", ["remove_spaces('a b c') == 'abc'"]),
    A("remove_vowels", ["strip_vowels", "delete_vowels"], {"text": ["s", "string"]},
      ["remove the vowels from a string", "delete all vowels in {text}", "return a string without vowels"],
      """def remove_vowels(text):
    return "".join(c for c in text if c.lower() not in "aeiou")""", "remove_vowels('hello')", ["remove_vowels('hello') == 'hll'"]),
    A("longest_word", ["find_longest_word", "get_longest_word"], {"text": ["sentence", "s"]},
      ["find the longest word in a sentence", "return the longest word of {text}", "get the longest word in a string"],
      """def longest_word(text):
    words = text.split()
    if not words:
        return ""
    return max(words, key=len)""", "longest_word('a quick brown fox')", ["longest_word('a quick fox') == 'quick'"]),
    A("longest_common_prefix", ["common_prefix", "shared_prefix"], {"words": ["strings", "items"]},
      ["find the longest common prefix of a list of strings", "return the common prefix of {words}", "compute the longest prefix shared by all strings"],
      """def longest_common_prefix(words):
    if not words:
        return ""
    prefix = words[0]
    for word in words[1:]:
        while not word.startswith(prefix):
            prefix = prefix[:-1]
    return prefix""", "longest_common_prefix(['flower', 'flow', 'flight'])", ["longest_common_prefix(['flower', 'flow', 'flight']) == 'fl'"]),
    A("levenshtein", ["edit_distance", "levenshtein_distance"], {"a": ["first", "s"], "b": ["second", "t"]},
      ["compute the Levenshtein distance of two strings", "return the edit distance between {a} and {b}", "calculate the edit distance"],
      """def levenshtein(a, b):
    previous = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        current = [i]
        for j, y in enumerate(b, 1):
            cost = 0 if x == y else 1
            current.append(min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + cost))
        previous = current
    return previous[-1]""", "levenshtein('kitten', 'sitting')", ["levenshtein('kitten', 'sitting') == 3", "levenshtein('', 'ab') == 2"]),
    A("balanced_parentheses", ["is_balanced", "check_brackets", "valid_parentheses"], {"text": ["s", "string"]},
      ["check if the parentheses in a string are balanced", "tell whether brackets are balanced", "validate parentheses", "check for balanced brackets in {text}"],
      """def balanced_parentheses(text):
    pairs = {")": "(", "]": "[", "}": "{"}
    stack = []
    for c in text:
        if c in "([{":
            stack.append(c)
        elif c in pairs:
            if not stack or stack.pop() != pairs[c]:
                return False
    return not stack""", "balanced_parentheses('([]{})')", ["balanced_parentheses('([]{})')", "not balanced_parentheses('(]')"]),
    A("is_valid_email", ["validate_email", "check_email"], {"email": ["address", "text"]},
      ["validate an email address", "check if {email} is a valid email address", "test whether a string looks like an email address"],
      """import re


def is_valid_email(email):
    pattern = r"^[\\w.+-]+@[\\w-]+\\.[\\w.-]+$"
    return re.match(pattern, email) is not None""", "is_valid_email('user@example.com')", ["is_valid_email('user@example.com')", "not is_valid_email('nope')"]),
    A("camel_to_snake", ["to_snake_case", "snake_case"], {"name": ["text", "identifier"]},
      ["convert camel case to snake case", "turn a camelCase name into snake_case", "convert {name} from CamelCase to snake_case"],
      """import re


def camel_to_snake(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()""", "camel_to_snake('helloWorld')", ["camel_to_snake('helloWorld') == 'hello_world'"]),
    A("compress", ["run_length_encode", "rle"], {"text": ["s", "string"]},
      ["compress a string with run-length encoding", "implement run-length encoding", "run-length encode {text}"],
      """def compress(text):
    result = ""
    i = 0
    while i < len(text):
        j = i
        while j < len(text) and text[j] == text[i]:
            j += 1
        result += text[i] + str(j - i)
        i = j
    return result""", "compress('aaabb')", ["compress('aaabb') == 'a3b2'", "compress('') == ''"]),
    A("truncate", ["shorten", "cut_text"], {"text": ["s", "string"], "length": ["n", "limit"]},
      ["truncate a string to a given length", "shorten {text} to {length} characters", "cut a string and add three dots"],
      """def truncate(text, length):
    if len(text) <= length:
        return text
    return text[:length - 3] + "...\"""", "truncate('hello world', 8)", ["truncate('hello world', 8) == 'hello...'", "truncate('hi', 8) == 'hi'"]),
    A("random_password", ["generate_password", "make_password"], {"length": ["n", "size"]},
      ["generate a random password", "create a password of a given {length}", "make a random password"],
      """import secrets
import string


def random_password(length):
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(length))""", "random_password(12)", ["len(random_password(12)) == 12"]),
    A("greet", ["hello", "say_hello", "greeting"], {"name": ["person", "user"]},
      ["greet a person by name", "return a greeting for {name}", "say hello to a user"],
      """def greet(name):
    return f"Hello, {name}!\"""", "greet('Ada')", ["greet('Ada') == 'Hello, Ada!'"]),
    A("today", ["current_date", "get_date"], {},
      ["return the current date", "get today's date as a string", "return today's date"],
      """from datetime import date


def today():
    return date.today().isoformat()""", "today()", ["len(today()) == 10"]),
    A("timer", ["measure_time", "timed"], {"function": ["func", "fn"]},
      ["measure the run time of a function", "time how long a function takes", "write a decorator that measures time"],
      """import functools
import time


def timer(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        start = time.perf_counter()
        result = function(*args, **kwargs)
        print(f"took {time.perf_counter() - start:.3f} seconds")
        return result
    return wrapper""", "timer(print)('hello')", ["timer(len)([1, 2]) == 2"]),
    A("Stack", [], {}, ["implement a stack", "model a stack with push and pop", "represent a stack", "implement a stack data structure"],
      """class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)

    def pop(self):
        if not self.items:
            raise IndexError("pop from an empty stack")
        return self.items.pop()

    def peek(self):
        return self.items[-1]

    def is_empty(self):
        return not self.items

    def __len__(self):
        return len(self.items)""", "Stack()", ["Stack().is_empty()", "(lambda s: (s.push(1), s.push(2), s.pop())[-1])(Stack()) == 2"], kind="class"),
    A("Queue", [], {}, ["implement a queue", "model a queue with enqueue and dequeue", "represent a queue", "implement a queue data structure"],
      """from collections import deque


class Queue:
    def __init__(self):
        self.items = deque()

    def enqueue(self, item):
        self.items.append(item)

    def dequeue(self):
        if not self.items:
            raise IndexError("dequeue from an empty queue")
        return self.items.popleft()

    def is_empty(self):
        return not self.items

    def __len__(self):
        return len(self.items)""", "Queue()", ["(lambda q: (q.enqueue(1), q.enqueue(2), q.dequeue())[-1])(Queue()) == 1"], kind="class"),
    A("LinkedList", [], {}, ["implement a linked list", "model a singly linked list", "represent a linked list"],
      """class Node:
    def __init__(self, value):
        self.value = value
        self.next = None


class LinkedList:
    def __init__(self):
        self.head = None

    def append(self, value):
        node = Node(value)
        if self.head is None:
            self.head = node
            return
        current = self.head
        while current.next:
            current = current.next
        current.next = node

    def to_list(self):
        values = []
        current = self.head
        while current:
            values.append(current.value)
            current = current.next
        return values""", "LinkedList()", ["(lambda l: (l.append(1), l.append(2), l.to_list())[-1])(LinkedList()) == [1, 2]"], kind="class"),
    A("BankAccount", [], {}, ["model a bank account", "represent a bank account with deposit and withdraw", "implement a bank account"],
      """class BankAccount:
    def __init__(self, balance=0):
        self.balance = balance

    def deposit(self, amount):
        if amount <= 0:
            raise ValueError("amount must be positive")
        self.balance += amount

    def withdraw(self, amount):
        if amount > self.balance:
            raise ValueError("insufficient funds")
        self.balance -= amount
        return amount""", "BankAccount(100)", ["BankAccount(100).withdraw(30) == 30"], kind="class"),
    A("Counter", [], {}, ["implement a counter", "model a simple counter", "represent a counter with increment and reset"],
      """class Counter:
    def __init__(self):
        self.count = 0

    def increment(self):
        self.count += 1
        return self.count

    def reset(self):
        self.count = 0""", "Counter()", ["Counter().increment() == 1"], kind="class"),
    A("LRUCache", [], {}, ["implement an LRU cache", "model a least recently used cache", "represent an LRU cache"],
      """from collections import OrderedDict


class LRUCache:
    def __init__(self, capacity):
        self.capacity = capacity
        self.items = OrderedDict()

    def get(self, key):
        if key not in self.items:
            return None
        self.items.move_to_end(key)
        return self.items[key]

    def put(self, key, value):
        self.items[key] = value
        self.items.move_to_end(key)
        if len(self.items) > self.capacity:
            self.items.popitem(last=False)""", "LRUCache(2)", ["LRUCache(2).get('x') is None"], kind="class"),
    A("Rectangle", [], {}, ["model a rectangle", "represent a rectangle with an area and a perimeter", "describe a rectangle"],
      """class Rectangle:
    def __init__(self, width, height):
        self.width = width
        self.height = height

    def area(self):
        return self.width * self.height

    def perimeter(self):
        return 2 * (self.width + self.height)""", "Rectangle(3, 4)", ["Rectangle(3, 4).area() == 12", "Rectangle(3, 4).perimeter() == 14"], kind="class"),
]
