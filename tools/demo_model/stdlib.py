"""Python sources on this machine: which files are used, and which are held out for measuring."""

import hashlib
import os
import sysconfig

SKIP_DIRS = {"test", "tests", "idlelib", "encodings", "turtledemo", "site-packages", "__pycache__", "lib2to3",
             "pydoc_data", "ensurepip"}
HELD_OUT_PERCENT = 3


def default_root():
    return sysconfig.get_paths()["stdlib"]


def python_files(root):
    """Relative paths of the library's modules, sorted; tests and generated tables are left out."""
    found = []
    for folder, dirs, names in os.walk(root):
        dirs[:] = sorted(d for d in dirs if d not in SKIP_DIRS)
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name.endswith(".py") and 200 < os.path.getsize(path) < 300_000:
                found.append(os.path.relpath(path, root))
    return sorted(found)


def is_held_out(relative_path):
    """The file's name decides, so that the same module of another Python release is held out with it."""
    digest = hashlib.sha256(relative_path.encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100 < HELD_OUT_PERCENT


def read_sources(root, held_out):
    """[(relative path, text)] of the training files or of the held-out ones. Skips what is not UTF-8."""
    out = []
    for path in python_files(root):
        if is_held_out(path) != held_out:
            continue
        try:
            with open(os.path.join(root, path), encoding="utf-8") as f:
                out.append((path, f.read().replace("\r\n", "\n")))
        except UnicodeDecodeError:
            continue
    return out
