"""Train the text tokenizer of the built-in Moshi: `python demo/moshi/make_tokenizer.py`.

A SentencePiece unigram model with the special tokens of upstream's: 0 unknown, 1 begin, 2 end, 3 padding. Every word of
the dialogues is one token, because the model has one text token for 80 ms of speech; bytes stand in for what the
vocabulary lacks. Written to src/voxtune/families/moshi/tiny/tokenizer_spm_400_3.model.
"""

from __future__ import annotations

import io
from pathlib import Path

import sentencepiece
from grammar import texts
from sentences import SENTENCES

from voxtune.files import atomic_write

TINY = Path(__file__).parents[2] / "src/voxtune/families/moshi/tiny"

TOKENS = 400
TOKENIZER = TINY / f"tokenizer_spm_{TOKENS}_3.model"
GRAMMAR_REPEATS = 100


def vocabulary() -> list[str]:
    """Every word of the dialogues."""
    return sorted({word.strip(",") for text in texts() for word in text.split()})


def main() -> None:
    """Train and write the model, and print how many of the words are one token."""
    words = vocabulary()
    # The trainer takes as a token only what it finds in two different words: so each comes with a comma too.
    grammar = GRAMMAR_REPEATS * [form for word in words for form in (word, f"{word},")]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*grammar, *SENTENCES]),
        model_writer=model,
        model_type="unigram",
        vocab_size=TOKENS,
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=3,
        num_threads=1,
        minloglevel=2,
    )
    with atomic_write(TOKENIZER) as temporary:
        temporary.write_bytes(model.getvalue())
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(TOKENIZER))
    whole = sum(len(tokenizer.encode(word)) == 1 for word in words)
    size = TOKENIZER.stat().st_size
    print(
        f"{TOKENIZER}: {tokenizer.get_piece_size()} tokens, {size} bytes; {whole} of {len(words)} words are one token"
    )


if __name__ == "__main__":
    main()
