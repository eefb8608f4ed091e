"""axios against Segmind's routes. The program in node/ checks and ends with "NAME: ok"."""


def test_segmind(node, server):
    assert node("segmind.mjs", server) == "segmind: ok\n"
