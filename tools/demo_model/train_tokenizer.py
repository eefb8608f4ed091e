"""Trains the byte-level BPE of the model in the box and writes tokenizer.json and tokenizer_config.json."""

import argparse
import json
import os

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import stdlib

SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
           "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>",
           "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
ADDED = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
         "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"]
VOCAB_SIZE = 16384


def byte_level():
    return {"add_prefix_space": False, "trim_offsets": False, "use_regex": False}


def build(texts):
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"), pre_tokenizers.ByteLevel(**byte_level())])
    tok.decoder = decoders.ByteLevel(**byte_level())
    tok.post_processor = processors.ByteLevel(**byte_level())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(SPECIAL) - len(ADDED), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tok.train_from_iterator(texts, trainer)
    # The trainer may stop early on a small corpus; the ids of the added tokens then start lower.
    tok.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIAL])
    tok.add_tokens([AddedToken(t, normalized=False, special=False) for t in ADDED])
    return tok


def write(tok, out):
    path = os.path.join(out, "tokenizer.json")
    tok.save(path)
    with open(path, encoding="utf-8") as f:
        data = json.load(f)
    data["model"]["continuing_subword_prefix"] = ""
    data["model"]["end_of_word_suffix"] = ""
    with open(path, "w", encoding="utf-8") as f:
        json.dump(data, f, ensure_ascii=False, indent=0)
        f.write("\n")
    config = {
        "add_bos_token": False, "add_prefix_space": False,
        "added_tokens_decoder": {
            str(t["id"]): {"content": t["content"], "lstrip": False, "normalized": False, "rstrip": False,
                           "single_word": False, "special": t["special"]} for t in data["added_tokens"]},
        "additional_special_tokens": SPECIAL[1:], "bos_token": None, "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>", "errors": "replace", "model_max_length": 4096, "pad_token": "<|endoftext|>",
        "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer", "unk_token": None}
    with open(os.path.join(out, "tokenizer_config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f, ensure_ascii=False, indent=2)
        f.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stdlib", default=stdlib.default_root())
    parser.add_argument("--sample", default=os.path.join(os.path.dirname(__file__), "tokenizer_sample.txt"),
                        help="text for the English of chats and the tags of tool calls, counted 60 times")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    texts = [text for _, text in stdlib.read_sources(args.stdlib, held_out=False)]
    with open(args.sample, encoding="utf-8") as f:
        texts += [f.read()] * 60
    os.makedirs(args.out, exist_ok=True)
    tok = build(texts)
    write(tok, args.out)
    print(f"{len(texts)} texts, {tok.get_vocab_size()} tokens")


if __name__ == "__main__":
    main()
