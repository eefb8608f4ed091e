"""The corpus of model outputs is what its generator writes; src/chat/tool_call_cases_test.cc parses it in every split."""

import pathlib

import make_corpus

CASES = pathlib.Path(__file__).resolve().parents[1] / "cases" / "chat"


def test_the_file_is_the_generators():
    assert (CASES / "corpus.case").read_text(encoding="utf-8") == make_corpus.corpus()


def test_there_are_enough_of_every_kind():
    names = [line for path in CASES.glob("*.case") for line in path.read_text(encoding="utf-8").splitlines()
             if line.startswith("=== ")]
    assert len(names) >= 500
    for kind in ("well formed", "cut in a value", "tags in a value", "hermes", "that was not offered", "no opener"):
        assert sum(kind in name for name in names) >= 7, kind
