#!/usr/bin/env python3
"""Writes a GGUF file with the exact shape of a published model and random weights.

Its text is noise; its speed, memory and layout are the real model's. The norms are about 1 and the weights small, so
that every value stays finite. Standard library only.

  python3 bench/synthetic_gguf 30b-a3b q4_k_m /tmp/30b.gguf              17.3 GiB
  python3 bench/synthetic_gguf next q4_k_m /tmp/next.gguf --layers 8
  python3 bench/synthetic_gguf 1.5b q8_0 /tmp/1.5b-q8_0.gguf
  python3 bench/synthetic_gguf 480b-a35b q4_k_m --list                   tensors and size only
"""
import argparse
import array
import dataclasses
import json
import pathlib
import struct
import sys

import blocks
import shapes

ALIGNMENT = 32
DEMO_TOKENIZER = pathlib.Path(__file__).resolve().parents[2] / "models/demo/tokenizer.json"
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(key, value):
    head = text(key)
    if isinstance(value, bool):
        return head + struct.pack("<I?", BOOL, value)
    if isinstance(value, int):
        return head + struct.pack("<II", U32, value)
    if isinstance(value, float):
        return head + struct.pack("<If", F32, value)
    if isinstance(value, str):
        return head + struct.pack("<I", STRING) + text(value)
    if isinstance(value[0], str):
        return head + struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(text, value))
    return head + struct.pack("<IIQ", ARRAY, I32, len(value)) + array.array("i", value).tobytes()


def tokenizer_metadata(path, n_vocab):
    """The vocabulary of a Hugging Face tokenizer.json, filled up with unused tokens to the embedding's rows."""
    source = json.loads(path.read_text(encoding="utf-8"))
    tokens, types, ids = [f"[PAD{i}]" for i in range(n_vocab)], [UNUSED] * n_vocab, {}
    for token, i in source["model"]["vocab"].items():
        tokens[i], types[i] = token, NORMAL
    for added in source["added_tokens"]:
        i = ids[added["content"]] = added["id"]
        tokens[i], types[i] = added["content"], CONTROL if added["special"] else USER_DEFINED
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in source["model"]["merges"]]
    return [("tokenizer.ggml.model", "gpt2"), ("tokenizer.ggml.pre", "qwen2"), ("tokenizer.ggml.tokens", tokens),
            ("tokenizer.ggml.token_type", types), ("tokenizer.ggml.merges", merges),
            ("tokenizer.ggml.eos_token_id", ids["<|im_end|>"]),
            ("tokenizer.ggml.padding_token_id", ids["<|endoftext|>"]),
            ("tokenizer.ggml.bos_token_id", ids["<|endoftext|>"]), ("tokenizer.ggml.add_bos_token", False)]


def tensor_bytes(tensor):
    _, elements, size = blocks.TYPES[tensor.type]
    if tensor.dims[0] % elements:
        raise SystemExit(f"{tensor.name}: rows of {tensor.dims[0]} cannot be {tensor.type} (a multiple of {elements})")
    return tensor.elements // elements * size


def aligned(n):
    return -(-n // ALIGNMENT) * ALIGNMENT


def header(tensors, metadata):
    out = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
    for key, value in metadata:
        out += entry(key, value)
    offset = 0
    for tensor in tensors:
        out += text(tensor.name) + struct.pack(f"<I{len(tensor.dims)}Q", len(tensor.dims), *tensor.dims)
        out += struct.pack("<IQ", blocks.TYPES[tensor.type][0], offset)
        offset += aligned(tensor_bytes(tensor))
    return bytes(out).ljust(aligned(len(out)), b"\0")


def write(path, head, tensors, weights, width):
    total, done, shown = sum(map(tensor_bytes, tensors)), 0, -1
    with open(path, "wb") as file:
        file.write(head)
        for tensor in tensors:
            size = tensor_bytes(tensor)
            if tensor.type == "f32":
                file.write(array.array("f", weights.floats(tensor.name, tensor.elements, width)).tobytes())
            else:
                weights.write(file, tensor.type, size // blocks.TYPES[tensor.type][2])
            file.write(bytes(aligned(size) - size))
            done += size
            if sys.stderr.isatty() and done * 100 // total != shown:
                shown = done * 100 // total
                print(f"\r{path}: {shown} %", end="\n" if shown == 100 else "", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=sorted(shapes.SHAPES))
    parser.add_argument("type", choices=["bf16", "f16", "q4_0", "q4_k_m", "q8_0"])
    parser.add_argument("out", type=pathlib.Path, nargs="?")
    parser.add_argument("--layers", type=int, help="fewer layers than the published model has")
    parser.add_argument("--tokenizer", type=pathlib.Path, default=DEMO_TOKENIZER, help="a tokenizer.json (default: %(default)s)")
    parser.add_argument("--sigma", type=float, default=0.02, help="spread of the weights (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="print tensors and size, write nothing")
    args = parser.parse_args()
    if not args.list and args.out is None:
        parser.error("say where to write, or --list")
    shape = shapes.SHAPES[args.shape]
    if args.layers:
        shape = dataclasses.replace(shape, layers=args.layers)
    tensors = shapes.tensors_of(shape, args.type)
    n_parameters, n_bytes = sum(t.elements for t in tensors), sum(map(tensor_bytes, tensors))
    if args.list:
        for tensor in tensors:
            print(f"{tensor.name:40} {tensor.type:5} {list(tensor.dims)}")
    print(f"{len(tensors)} tensors, {n_parameters / 1e9:.3f} G parameters, {n_bytes / 2**30:.3f} GiB")
    if args.list:
        return
    metadata = shapes.metadata_of(shape, args.type) + tokenizer_metadata(args.tokenizer, shape.vocab)
    write(args.out, header(tensors, metadata), tensors, blocks.Weights(args.seed, args.sigma), shape.width)


if __name__ == "__main__":
    main()
