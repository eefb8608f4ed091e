#!/usr/bin/env python3
"""The layering check itself: it must see a forbidden include and accept an allowed one."""
import pathlib
import tempfile
import unittest

import check_layers


class CheckLayers(unittest.TestCase):
    def run_on(self, files):
        with tempfile.TemporaryDirectory() as root:
            for name, text in files.items():
                path = pathlib.Path(root) / "src" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return check_layers.violations(root)

    def test_forbids_a_back_edge(self):
        found = self.run_on({"model/forward.cc": '#include "engine/engine.h"\n'})
        self.assertEqual(len(found), 1)
        self.assertIn("model/ may not include engine/", found[0])

    def test_forbids_looking_past_the_engine_face(self):
        self.assertEqual(len(self.run_on({"api/chat.cc": '#include "engine/sampler.h"\n'})), 1)
        self.assertEqual(self.run_on({"api/chat.cc": '#include "engine/engine.h"\n'}), [])

    def test_forbids_relative_includes(self):
        self.assertEqual(len(self.run_on({"base/a.cc": '#include "b.h"\n'})), 1)

    def test_allows_the_arrows(self):
        self.assertEqual(self.run_on({"model/a.cc": '#include "kernels/matmul.h"\n#include "base/status.h"\n'}), [])


if __name__ == "__main__":
    unittest.main()
