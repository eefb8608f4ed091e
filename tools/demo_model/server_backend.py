"""Asks a running server (OpenAI-shaped API) for the answers to tasks. Standard library only."""

import json
import urllib.request

from tasks import Answer


class ServerBackend:
    """Talks to an OpenAI-shaped API; asks it for the name of its model when none is given."""

    def __init__(self, url, model=None, timeout=120):
        self.url, self.timeout = url.rstrip("/"), timeout
        self.model = model or self._first_model()

    def _first_model(self):
        with urllib.request.urlopen(self.url + "/models", timeout=self.timeout) as response:
            return json.load(response)["data"][0]["id"]

    def _post(self, path, body):
        data = json.dumps({"model": self.model, "temperature": 0, **body}).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=self.timeout) as response:
            return json.load(response)

    def answer(self, task):
        if task.prompt is not None:
            choice = self._post("/completions", {"prompt": task.prompt, "max_tokens": task.max_tokens})["choices"][0]
            return Answer(choice["text"])
        body = {"messages": wire_messages(task.messages), "max_tokens": task.max_tokens}
        if task.tools:
            body["tools"] = task.tools
        message = self._post("/chat/completions", body)["choices"][0]["message"]
        calls = [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in message.get("tool_calls") or []]
        return Answer(message.get("content") or "", calls)


def wire_messages(messages):
    """Arguments of calls are JSON text on the wire and objects in the template."""
    out = []
    for m in messages:
        m = dict(m)
        if m.get("tool_calls"):
            m["tool_calls"] = [{"id": c.get("id", "call_1"), "type": "function", "function": {
                "name": c["function"]["name"], "arguments": json.dumps(c["function"]["arguments"])}} for c in m["tool_calls"]]
        if m["role"] == "tool":
            m.setdefault("tool_call_id", "call_1")
        out.append(m)
    return out
