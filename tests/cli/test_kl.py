"""quern kl and quern imatrix, run as a person runs them."""
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUERN = str((ROOT / os.environ.get("QUERN_BIN", "build/quern")).resolve())
DEMO = ROOT / "models/demo"
TEXT = ROOT / "tools/demo_model/model.py"


def run(*args):
    return subprocess.run([QUERN, *map(str, args)], capture_output=True, timeout=300, check=False)


def ok(*args):
    done = run(*args)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def figures(*args):
    """(mean KL, share of equal top tokens in per cent)."""
    text = ok("kl", *args)
    return float(re.search(r"mean KL +([0-9.]+)", text)[1]), float(re.search(r"same top token ([0-9.]+)", text)[1])


def test_rounding_costs_and_importance_helps(tmp_path):
    for name, more in [("bf16", []), ("q4_0", [])]:
        ok("quantize", DEMO, tmp_path / name, "--type", name, *more)
    compare = [DEMO, tmp_path / "q4_0", "--text", TEXT, "--tokens", 600, "--window", 256]
    assert figures(DEMO, tmp_path / "bf16", "--text", TEXT, "--tokens", 600) == (0, 100), "nothing was rounded"
    kl, same = figures(*compare)
    assert 0 < kl < 1 and 50 < same < 100
    assert "positions      600 in windows of 256" in ok("kl", *compare)
    assert ok("kl", *compare) == ok("kl", *compare, "--threads", 1)

    text = ok("imatrix", DEMO, tmp_path / "imatrix", "--text", TEXT, "--tokens", 2000)
    assert "2000 tokens" in text
    report = run("quantize", DEMO, tmp_path / "better", "--type", "q4_0", "--imatrix", tmp_path / "imatrix")
    assert report.returncode == 0 and report.stderr == b"", "every matrix is known"
    with_importance, _ = figures(DEMO, tmp_path / "better", *compare[2:])
    assert with_importance < kl, "on the text that it was collected from, at least there"


@pytest.mark.parametrize(
    "args, code, words",
    [
        (["kl", DEMO], 2, "needs SOURCE and OTHER"),
        (["kl", DEMO, DEMO], 2, "needs --text"),
        (["imatrix", DEMO, "/tmp/x"], 2, "needs --text"),
        (["kl", DEMO, DEMO, "--text", "/nonexistent"], 1, "/nonexistent"),
        (["kl", DEMO, "/nonexistent", "--text", TEXT], 1, "there is no model at /nonexistent"),
        (["kl", DEMO, DEMO, "--text", TEXT, "--window", 1000000], 1, "takes 2 to 4096"),
        (["kl", DEMO, DEMO, "--text", TEXT, "--windw", 9], 2, "did you mean --window?"),
        (["imatrix", DEMO, "/nonexistent/x", "--text", TEXT, "--tokens", 10], 1, "/nonexistent/x"),
    ],
)
def test_mistakes_get_one_sentence(args, code, words):
    done = run(*args)
    text = done.stderr.decode()
    assert done.returncode == code, text
    assert text.startswith("quern: ") and words in text and text.count("\n") == 1
