"""Which generator writes how large a share of the dialogues."""

from dialogues import coding, decisions, file_tools, smalltalk, synthetic_tools

GENERATORS = {
    "raw": (45, None),
    "function": (32, coding.function_dialogue),
    "script": (5, coding.script_dialogue),
    "fim_chat": (20, coding.fim_chat_dialogue),
    "explain": (2, coding.explain_dialogue),
    "two_turn": (2, coding.two_turn_dialogue),
    "write_file": (9, file_tools.write_dialogue),
    "file_action": (3, file_tools.file_action_dialogue),
    "synthetic_tool": (8, synthetic_tools.synthetic_dialogue),
    "everyday_tool": (3, synthetic_tools.everyday_dialogue),
    "talk_with_tools": (2, smalltalk.talk_with_tools_dialogue),
    "decision": (10, decisions.decision_dialogue),
    "review": (4, decisions.review_dialogue),
    "smalltalk": (24, smalltalk.smalltalk_dialogue),
}


def pick(rng):
    names = list(GENERATORS)
    return rng.choices(names, [GENERATORS[n][0] for n in names])[0]
