"""Requests in the way that known programs write them, with words of our own. One function per program and protocol; the
fields, their order, and the oddities are what was seen on the wire (docs/clients.md lists the rules)."""

ENVIRONMENT = "# Environment\nThe project lies in /home/user/project. Further tools can be asked for: NotebookEdit."
BILLING = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cc_entrypoint=sdk-cli; cch=1;"}

FILE_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "Absolute path"},
        "content": {"type": "string"},
        "mode": {"anyOf": [{"type": "string", "enum": ["create", "overwrite"]}, {"type": "null"}]},
        "kind": {"const": "text"},
        "edits": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"old": {"type": "string"}, "new": {"oneOf": [{"type": "string"}, {"type": "integer"}]}},
                "required": ["old"],
                "additionalProperties": False,
            },
        },
        "limit": {"type": "integer", "minimum": 0, "maximum": 2000, "default": 100},
    },
    "required": ["path", "content"],
    "additionalProperties": False,
}


def cached(block):
    return {**block, "cache_control": {"type": "ephemeral"}}


# ---- Anthropic Messages ----

CLAUDE_CODE_HEADERS = {
    "anthropic-version": "2026-10-21",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,a-beta-of-next-year,another,b,c,d,e",
    "anthropic-dangerous-direct-browser-access": "true",
    "x-app": "cli",
    "authorization": "Bearer sk-none",
}


def claude_code(question, *, environment=ENVIRONMENT, marks=True, more=(), **fields):
    """environment: the text as a string (later requests) or as blocks (the first). marks: with cache_control."""
    mark = cached if marks else dict
    return {
        "model": "demo",
        "messages": [
            {"role": "user", "content": [mark({"type": "text", "text": question})]},
            {"role": "system", "content": environment},
            *more,
        ],
        "system": [BILLING, mark({"type": "text", "text": "You write code."})],
        "tools": [{"name": "write_file", "description": "Writes a file.", "input_schema": FILE_SCHEMA, "defer_loading": True}],
        "metadata": {"user_id": '{"device_id":"d","account_uuid":"","session_id":"s"}'},
        "max_tokens": 32000,
        "thinking": {"type": "adaptive", "display": "omitted"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        **fields,
    }


def cline_messages(question):
    """Cline over Messages: a server tool without input_schema, eager_input_streaming, a small max_tokens."""
    return {
        "model": "demo",
        "max_tokens": 4096,
        "system": [cached({"type": "text", "text": "You write code."})],
        "messages": [{"role": "user", "content": [cached({"type": "text", "text": question})]}],
        "tools": [
            {"name": "write_file", "input_schema": FILE_SCHEMA, "eager_input_streaming": True},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        "tool_choice": {"type": "auto"},
        "stream": True,
    }


# ---- chat ----


def function(name="write_file", parameters=FILE_SCHEMA):
    return {"type": "function", "function": {"name": name, "description": "Writes a file.", "parameters": parameters}}


def chat(question, system="You write code.", **fields):
    """What all chat clients share; a field that is None is not sent."""
    body = {
        "model": "demo",
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": question}],
        "tools": [function()],
        "stream": True,
        "stream_options": {"include_usage": True},
        **fields,
    }
    return {key: value for key, value in body.items() if value is not None}


def parts(text):
    return [{"type": "text", "text": text}]


# The assistant's turn with a call, as each client echoes it.
def echoed_call(arguments, **message):
    call = {"id": "call_1", "type": "function", "function": {"name": "write_file", "arguments": arguments}}
    return {"role": "assistant", **message, "tool_calls": [call]}


ECHOES = {
    "content null": {"content": None},
    "content empty": {"content": ""},
    "content absent": {},
    "copilot: refusal null": {"content": "", "refusal": None, "reasoning_content": "hm"},
    "pi, opencode, cline: reasoning_content": {"content": "", "reasoning_content": "I should write it."},
    "qwen: reasoning beside it": {"content": None, "reasoning_content": "hm", "reasoning": "hm"},
}


# ---- Responses ----


def codex(question, history=(), **fields):
    """No instructions; the long prompt is a developer message, and another one follows; nested and hosted tools."""

    def text(role, words, **more):
        return {"type": "message", "role": role, "content": [{"type": "input_text", "text": words}], **more}

    return {
        "model": "demo",
        "input": [
            text("developer", "You write code.", id="msg_dev"),
            text("developer", "Approvals are off."),
            text("user", "<environment_context>cwd</environment_context>"),
            text("user", question),
            *history,
        ],
        "tools": [
            {"type": "function", "name": "exec_command", "strict": False, "parameters": {
                "type": "object", "properties": {"cmd": {"type": "string"}, "yield_time_ms": {"type": "number"}},
                "required": ["cmd"], "additionalProperties": False}},
            {"type": "namespace", "name": "agents", "description": "Helpers", "tools": [
                {"type": "function", "name": "spawn", "strict": False, "parameters": {"type": "object", "properties": {}}}]},
            {"type": "web_search", "external_web_access": False},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0199-abcd",
        "client_metadata": {"x-codex-installation-id": "i"},
        **fields,
    }


def qwen_responses(question, history=()):
    """Instructions and input apart, items echoed with status and ids."""
    return {
        "model": "demo",
        "instructions": "You write code.",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": question}]}, *history],
        "tools": [{"type": "function", "name": "write_file", "strict": False, "parameters": FILE_SCHEMA}],
        "max_output_tokens": 32768,
        "prompt_cache_key": "session-1",
        "store": False,
        "stream": True,
    }


# ---- editors ----

CODE_BEFORE, CODE_AFTER = "def add(a, b):\n    return ", "\n\nprint(add(1, 2))\n"


def llama_vscode(n_predict=64, **fields):
    return {
        "id_slot": 0,
        "input_prefix": "def add(a, b):\n",
        "input_suffix": CODE_AFTER,
        "input_extra": [{"filename": "src/util.py", "text": "import os\n"}, {"filename": "README.md", "text": "# Sums\n"}],
        "prompt": "    return ",
        "n_predict": n_predict,
        "n_indent": 4,
        "top_k": 40,
        "top_p": 0.99,
        "stream": False,
        "samplers": ["top_k", "top_p", "infill"],
        "cache_prompt": True,
        "t_max_prompt_ms": 500,
        "t_max_predict_ms": 2500,
        **fields,
    }


FIM_PROMPT = f"<|fim_prefix|>{CODE_BEFORE}<|fim_suffix|>{CODE_AFTER}<|fim_middle|>"
FIM_STOPS = ["<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>",
             "<|file_sep|>", "<|im_start|>", "<|im_end|>", "/src/", "#- coding: utf-8", "```"]


def continue_completions():
    return {"model": "demo", "prompt": FIM_PROMPT, "max_tokens": 256, "temperature": 0.01, "stop": FIM_STOPS, "stream": True}


def continue_ollama():
    return {"model": "demo", "prompt": FIM_PROMPT, "raw": True, "keep_alive": 1800, "stream": True,
            "options": {"temperature": 0.01, "num_predict": 256, "stop": FIM_STOPS, "num_ctx": 4096, "num_thread": 8}}


def continue_ollama_suffix():
    return {"model": "demo", "prompt": CODE_BEFORE, "suffix": CODE_AFTER, "raw": False, "stream": True,
            "options": {"temperature": 0.01, "num_predict": 256, "stop": ["\n\n"]}}


def continue_llamacpp():
    return {"prompt": FIM_PROMPT, "n_predict": 256, "temperature": 0.01, "top_p": 0.95, "stop": FIM_STOPS, "stream": True,
            "cache_prompt": True}


def continue_fim():
    return {"model": "demo", "prompt": CODE_BEFORE, "suffix": CODE_AFTER, "max_tokens": 256, "temperature": 0.01,
            "stop": ["\n\n"], "stream": True}
