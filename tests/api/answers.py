"""What the scripted model of most API tests says. The first rule whose words all occur in the prompt answers."""


def call(name, **parameters):
    """A tool call as Qwen3-Coder writes it."""
    lines = [f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in parameters.items()]
    return f"<tool_call>\n<function={name}>\n{''.join(lines)}</function>\n</tool_call>"


CITY_CALL = call("get_weather", city="Oslo", days="3")
CODE = 'def greet(name):\n    """Say "hi" to <name>."""\n    return f"héllo, 你好 🙂 {name}\\n"\n'
WRITE_CALL = call("write_file", path="greet.py", content=CODE)
STORY = "One fine day a fox met a crow. STOP here, said the fox. END of the story."
EMOJI = "I 👩‍👩‍👧‍👦 love 你好 🙂"

COMMON = {
    "context_length": 2048,
    "rules": [
        {"match": "fail at once", "text": "never said", "fault": {"kind": "error", "at": 0, "message": "disk on fire"}},
        {"match": "fail later", "text": "I begin and then", "fault": {"kind": "error", "at": 3, "message": "disk on fire"}},
        {"match": "drop later", "text": "I begin and then", "fault": {"kind": "drop", "at": 2, "message": "peer gone"}},
        {"match": "be busy", "fault": {"kind": "refuse", "message": "the queue is full"}},
        {"match": "one call", "text": CITY_CALL},
        {"match": "words and call", "text": "Let me look.\n" + CITY_CALL},
        {"match": "two calls", "text": CITY_CALL + "\n" + WRITE_CALL},
        {"match": "write it", "text": WRITE_CALL},
        {"match": "cut call", "text": WRITE_CALL, "finish": "length"},
        {"match": "must call", "text": "I would rather talk. " + call("get_weather", city="Rome")},
        {"match": "story", "text": STORY},
        {"match": "emoji", "text": EMOJI},
        {"match": "say nothing", "text": ""},
        {"match": "be slow", "text": "slowly " * 40, "delay_ms": 25},
        {"match": "go on", "text": "word ", "finish": "length"},
        {"match": "long wait", "text": "late", "first_delay_ms": 60_000},
        {"match": "endless", "text": "x y z ", "repeat": 10_000, "delay_ms": 5},
        {"match": "flood", "text": "many words come quickly ", "repeat": 2_000},
        {"match": "<|fim_middle|>", "text": "the middle"},
        {"text": "Hello!"},
    ],
}
