"""Train the tokenizers of the built-in Fun-ASR-Nano: `python demo/fun_asr_nano/make_tokenizer.py`.

On the words of both domains. Both are byte-level BPE, so they can express any text. Written to
src/voxtune/families/fun_asr_nano/tiny:
    Qwen3-0.6B/tokenizer.json, tokenizer_config.json
        for the language model, with the chat tokens of Qwen3; large enough to make every word one token, because the
        tiny model has one position per 0.48 s of speech and no capacity for spelling
    multilingual.tiktoken
        for the CTC branch, one `base64 rank` per line; word pieces, which a new word shares with known ones
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
from domains import HARBOUR, HOME
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from voxtune.files import write_json, write_text

TINY = Path(__file__).parents[2] / "src/voxtune/families/fun_asr_nano/tiny"

LLM_TOKENS = 1200
CTC_TOKENS = 600
SEED = 20

QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"]
THINK_TOKENS = ["<think>", "</think>"]
PROMPTS = ["system\n", "You are a helpful assistant.", "user\n", "语音转写：", "assistant\n"]


def corpus(prompts: list[str]) -> list[str]:
    """Every word of both domains equally often, as it stands inside a sentence and, less often, at the beginning of
    one; and the fixed prompts so often that they become few tokens."""
    texts = 200 * prompts
    for domain in (HOME, HARBOUR):
        texts += 20 * [f" {word}" for word in sorted(domain.vocabulary())]
        texts += 4 * sorted(domain.initial_words())
    return texts


def train(pattern: str, tokens: int, prompts: list[str]) -> Tokenizer:
    """Train a byte-level BPE of `tokens` entries. Its first 256 are the single bytes, so that 0 is `!`."""
    tokenizer = Tokenizer(BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(vocab_size=tokens, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(corpus(prompts), trainer)
    return tokenizer


def write_llm_tokenizer(folder: Path) -> Tokenizer:
    """Write the files that transformers' AutoTokenizer reads."""
    tokenizer = train(QWEN2_PATTERN, LLM_TOKENS, PROMPTS)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in THINK_TOKENS])
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "add_prefix_space": False,
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "model_max_length": 131072,
    }
    write_json(folder / "tokenizer.json", json.loads(tokenizer.to_str()))
    write_json(folder / "tokenizer_config.json", config)
    return tokenizer


def write_ctc_vocabulary(file: Path) -> Tokenizer:
    """Write the ranks in tiktoken's format."""
    tokenizer = train(GPT2_PATTERN, CTC_TOKENS, [])
    byte_of = _bytes_of_characters()
    lines = []
    for token, rank in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]):
        value = bytes(byte_of[character] for character in token)
        lines.append(f"{base64.b64encode(value).decode()} {rank}\n")
    write_text(file, "".join(lines))
    return tokenizer


def _bytes_of_characters() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary stands for.

    Printable bytes stand for themselves; the others were moved, in order, to the characters from 256 on.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(moved)}


def report(name: str, tokenizer: Tokenizer) -> None:
    """Print how many tokens a word takes."""
    rng = np.random.default_rng(SEED + 1)
    for domain in (HOME, HARBOUR):
        sentences = [domain.sentence(rng) for _ in range(1000)]
        words = sum(len(sentence.split()) for sentence in sentences)
        tokens = sum(len(tokenizer.encode(sentence).ids) for sentence in sentences)
        whole = sum(len(tokenizer.encode(f" {word}").ids) == 1 for word in domain.vocabulary())
        print(
            f"{name}, {domain.name}: {tokens / words:.2f} tokens per word, "
            f"{whole} of {len(domain.vocabulary())} words are one token"
        )


def main() -> None:
    """Write both tokenizers."""
    report("language model", write_llm_tokenizer(TINY / "Qwen3-0.6B"))
    report("CTC", write_ctc_vocabulary(TINY / "multilingual.tiktoken"))


if __name__ == "__main__":
    main()
