"""docs/clients.md names a test for every rule; each of them is there, and each recorded-style test is named."""

import re

from wire import ROOT

SECTION = re.compile(r"\| rule \| test in `(tests/api/test_\w+\.py)` \|\n\|[-| ]+\|\n((?:\|.*\n)+)")


def names_in(path):
    return set(re.findall(r"^def (test_\w+)\(", (ROOT / path).read_text(), re.M))


def test_every_rule_has_its_test():
    sections = SECTION.findall((ROOT / "docs/clients.md").read_text())
    assert len(sections) >= 6
    for path, rows in sections:
        named = []
        for row in rows.splitlines():
            tests = re.findall(r"`(test_\w+)`", row.rsplit("|", 2)[1])
            assert tests, f"no test beside: {row}"
            named += tests
        assert set(named) <= names_in(path), set(named) - names_in(path)


def test_every_recorded_test_file_has_its_rules():
    documented = {path for path, _ in SECTION.findall((ROOT / "docs/clients.md").read_text())}
    there = {f"tests/api/{path.name}" for path in (ROOT / "tests/api").glob("test_recorded_*.py")}
    assert there == documented
