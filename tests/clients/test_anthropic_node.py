"""Anthropic's package for Node against the server. The program in node/ checks and ends with "NAME: ok"."""


def test_messages(node, server):
    assert node("anthropic_messages.mjs", server) == "anthropic_messages: ok\n"
