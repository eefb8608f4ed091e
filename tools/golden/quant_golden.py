#!/usr/bin/env python3
"""Writes tests/golden/quant/<type>.bin: random blocks of every quantised type and what the format's own decoder makes of them.

Usage: pip install gguf numpy; python3 tools/golden/quant_golden.py [OUT_DIR]
File: u32 n (elements), the n elements as stored, n float32 values; little-endian. Seeded: a re-run writes the same bytes.
"""
import pathlib
import struct
import sys

import gguf
import numpy as np

# name -> (type, byte offsets of the f16 fields in a block)
TYPES = {
    "q8_0": ("Q8_0", [0]), "q4_0": ("Q4_0", [0]), "q4_1": ("Q4_1", [0, 2]), "q5_0": ("Q5_0", [0]), "q5_1": ("Q5_1", [0, 2]),
    "q2_k": ("Q2_K", [80, 82]), "q3_k": ("Q3_K", [108]), "q4_k": ("Q4_K", [0, 2]), "q5_k": ("Q5_K", [0, 2]),
    "q6_k": ("Q6_K", [208]), "iq4_nl": ("IQ4_NL", [0]), "iq4_xs": ("IQ4_XS", [0]), "mxfp4": ("MXFP4", []),
}


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/quant")
    out.mkdir(parents=True, exist_ok=True)
    for seed, (name, (type_name, halves)) in enumerate(TYPES.items()):
        random = np.random.default_rng(seed)
        kind = gguf.GGMLQuantizationType[type_name]
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        n_blocks = 1024 // elements
        blocks = random.integers(0, 256, (n_blocks, size), dtype=np.uint8)
        for offset in halves:
            scale = random.uniform(0.005, 0.02, n_blocks).astype("<f2")
            blocks[:, offset:offset + 2] = scale.view(np.uint8).reshape(n_blocks, 2)
        if name == "mxfp4":
            blocks[:, 0] = random.integers(110, 140, n_blocks)
        values = gguf.quants.dequantize(blocks.reshape(1, -1), kind).astype("<f4").reshape(-1)
        (out / f"{name}.bin").write_bytes(struct.pack("<I", values.size) + blocks.tobytes() + values.tobytes())
        print(f"{name}: {values.size} elements")


if __name__ == "__main__":
    main()
