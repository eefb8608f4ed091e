"""Random weight blocks, written straight in their stored form with a known spread.

Every maker returns the bytes of n blocks whose values have mean about 0 and standard deviation about sigma.
"""
import random
import struct

# GGUF type number, elements per block, bytes per block.
TYPES = {"f32": (0, 1, 4), "f16": (1, 1, 2), "q4_0": (2, 32, 18), "q8_0": (8, 32, 34), "q4_k": (12, 256, 144),
         "q5_k": (13, 256, 176), "q6_k": (14, 256, 210), "bf16": (30, 1, 2)}


def _f16(value):
    return struct.pack("<e", value)


def _scale_bytes(scales):
    """Eight 6-bit scales and eight equal 6-bit minima as q4_k and q5_k pack them."""
    low, high = scales[:4], scales[4:]
    first = bytes(a | (b >> 4) << 6 for a, b in zip(low, high))
    return first + first + bytes((b & 15) * 17 for b in high)


def _k_with_minima(block_bytes, levels):
    """q4_k, q5_k: w = d * s * q - dmin * s with q in 0..levels-1; dmin = d * (levels - 1) / 2 puts the mean at 0."""
    middle = (levels - 1) / 2
    spread = ((levels * levels - 1) / 12) ** 0.5

    def make(rng, n, sigma):
        out = bytearray(rng.randbytes(n * block_bytes))
        for start in range(0, len(out), block_bytes):
            d = sigma / (spread * 48) * rng.uniform(0.8, 1.25)
            scales = [rng.randrange(33, 64) for _ in range(8)]
            out[start:start + 16] = _f16(d) + _f16(d * middle) + _scale_bytes(scales)
        return out

    return make


def _q6_k(rng, n, sigma):
    """w = d * s * (q - 32), q in 0..63."""
    out = bytearray(rng.randbytes(n * 210))
    for start in range(0, len(out), 210):
        scales = bytes(rng.choice((1, -1)) * rng.randrange(40, 81) & 255 for _ in range(16))
        out[start + 192:start + 210] = scales + _f16(sigma / (18.47 * 60) * rng.uniform(0.8, 1.25))
    return out


def _one_scale(block_bytes, spread):
    """A scale and then numbers that may have any bits (q8_0, q4_0)."""

    def make(rng, n, sigma):
        out = bytearray(rng.randbytes(n * block_bytes))
        for start in range(0, len(out), block_bytes):
            out[start:start + 2] = _f16(sigma / spread * rng.uniform(0.8, 1.25))
        return out

    return make


def _plain(pack):
    return lambda rng, n, sigma: bytearray(b"".join(pack(rng.gauss(0, sigma)) for _ in range(n)))


# Maker and pool size. Prime, so that pieces of the pool laid one behind the other do not repeat with the rows.
_POOLS = {
    "q4_k": (_k_with_minima(144, 16), 32749), "q5_k": (_k_with_minima(176, 32), 32749), "q6_k": (_q6_k, 32749),
    "q8_0": (_one_scale(34, 73.9), 131071), "q4_0": (_one_scale(18, 4.61), 131071),
    "bf16": (_plain(lambda x: struct.pack("<f", x)[2:]), 1048573), "f16": (_plain(_f16), 1048573),
}


class Weights:
    """Bytes of matrices of any size, cut from one pool per type."""

    def __init__(self, seed, sigma):
        self.rng, self.sigma, self.pools = random.Random(seed), sigma, {}

    def write(self, file, kind, n_blocks):
        """Appends n_blocks blocks: pieces of the pool that begin at random blocks."""
        if kind not in self.pools:
            make, n = _POOLS[kind]
            self.pools[kind] = bytes(make(self.rng, n, self.sigma))
        size = TYPES[kind][2]
        pool = memoryview(self.pools[kind])
        n_pool = len(pool) // size
        while n_blocks:
            first = self.rng.randrange(n_pool)
            n = min(n_blocks, n_pool - first)
            file.write(pool[first * size:(first + n) * size])
            n_blocks -= n

    def floats(self, name, n, width):
        """Values of an f32 tensor: norms near 1, decay rates negative, routers wide enough to choose."""
        gauss, uniform = self.rng.gauss, self.rng.uniform
        if name.endswith("norm.weight"):
            return [uniform(0.9, 1.1) for _ in range(n)]
        if name.endswith("ssm_a"):
            return [-uniform(0.5, 8.0) for _ in range(n)]
        sigma = width ** -0.5 if "gate_inp" in name else self.sigma if ".bias" in name else 0.3
        return [gauss(0, sigma) for _ in range(n)]
