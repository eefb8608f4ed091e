"""The openai package for Node against the server. The programs in node/ check; each ends with "NAME: ok"."""
import pathlib

import pytest

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = ["chat", "tools", "completions", "errors", "responses"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(node, server, name):
    assert node(name + ".mjs", server) == f"{name}: ok\n"


def test_every_program_is_run():
    found = {path.stem for path in (HERE / "node").glob("*.mjs")}
    assert found == {*PROGRAMS, "anthropic_messages", "segmind", "setting"}
