"""Which generator writes how large a share of the dialogues."""

from dialogues import coding, decisions, file_tools, smalltalk, synthetic_tools

GENERATORS = {
    "raw": (15, None),
    "function": (21, coding.function_dialogue),
    "script": (5, coding.script_dialogue),
    "fim_chat": (4, coding.fim_chat_dialogue),
    "explain": (3, coding.explain_dialogue),
    "two_turn": (2, coding.two_turn_dialogue),
    "write_file": (7, file_tools.write_dialogue),
    "file_action": (4, file_tools.file_action_dialogue),
    "synthetic_tool": (12, synthetic_tools.synthetic_dialogue),
    "everyday_tool": (5, synthetic_tools.everyday_dialogue),
    "talk_with_tools": (1.5, smalltalk.talk_with_tools_dialogue),
    "decision": (7, decisions.decision_dialogue),
    "review": (5, decisions.review_dialogue),
    "smalltalk": (9, smalltalk.smalltalk_dialogue),
}


def pick(rng):
    names = list(GENERATORS)
    return rng.choices(names, [GENERATORS[n][0] for n in names])[0]
