"""Words each for itself on frames, and the way back from frames to words."""

from __future__ import annotations

import random
import time
from typing import Literal

import pytest
import torch

from tests.families.moshi.text_models import ENGLISH, IDS, english, english_with_bytes, japanese, model_bytes
from voxtune.data.sample import Word
from voxtune.errors import CheckpointError
from voxtune.families.moshi.interleaved_text import Interleaving, interleaved_text, words_from
from voxtune.families.moshi.running_text import running_text
from voxtune.families.moshi.text import FrameText, words_on_frames
from voxtune.families.moshi.tokenizer import TextTokenizer

RATE = 12.5
DEFAULT = Interleaving()
BLANK = (IDS.padding, IDS.end_of_padding)


def word(text: str, start: float, end: float, speaker: Literal["A", "B"] = "A") -> Word:
    return Word(speaker=speaker, text=text, start=start, end=end)


def on_frames(
    words: list[Word] | None, tokenizer: TextTokenizer, rule: Interleaving = DEFAULT, frames: int = 60
) -> FrameText:
    return interleaved_text(words, tokenizer, main="A", frame_rate=RATE, frames=frames, ids=IDS, rule=rule)


def tokens(text: FrameText) -> list[int]:
    return [token for token in text.ids.tolist() if token not in BLANK]


def test_silence_and_not_knowing() -> None:
    assert on_frames([], english(), frames=4).ids.tolist() == [IDS.padding] * 4
    assert on_frames(None, english(), frames=4).ids.tolist() == [-1] * 4


def test_a_new_word_replaces_an_unfinished_one() -> None:
    words = [word("internationalization", 0.4, 0.5), word("you", 0.6, 0.8)]
    long, short = english().encode([item.text for item in words])
    cut = on_frames(words, english())
    assert tokens(cut) == [*long[:2], *short]
    assert cut.lost == len(long) - 2
    shifted = on_frames(words, english(), Interleaving(keep_and_shift=True))
    assert tokens(shifted) == [*long, *short]
    assert shifted.lost == 0


def test_whose_words() -> None:
    words = [word("hello", 0.4, 0.8), word("you", 1.6, 2.0, "B")]
    hello, you = english().encode(["hello", "you"])
    assert tokens(on_frames(words, english())) == hello
    assert tokens(on_frames(words, english(), Interleaving(keep_main_only=False))) == hello + you
    changes = Interleaving(keep_main_only=False, use_bos_eos=True)
    assert tokens(on_frames(words, english(), changes)) == [1, *hello, 2, *you]
    other = interleaved_text(words, english(), main="B", frame_rate=RATE, frames=60, ids=IDS)
    assert tokens(other) == you


def test_what_is_lost_is_counted() -> None:
    size = len(english().encode(["hello"])[0])
    assert on_frames([word("hello", 0.4, 0.4)], english()).lost == size
    assert on_frames([word("hello", 9.0, 9.4)], english()).lost == size
    assert on_frames([word("hello", 4.72, 5.4)], english()).lost == size - 1
    assert on_frames([word("hello", 0.1, 0.3)], english(), Interleaving(audio_delay=0.4)).lost == size
    hidden = on_frames([word("hello", -0.5, 0.4)], english(), Interleaving(audio_delay=-0.64))
    assert hidden.lost == min(size, 8 - 1)
    assert hidden.ids[:8].tolist() == [-1] * 8
    assert on_frames([word("駅", 0.5, 0.8)], english()).unknown == 1


def test_a_delay_longer_than_the_recording() -> None:
    assert (
        on_frames([word("you", 0.1, 0.2)], english(), Interleaving(audio_delay=-9.0), frames=5).ids.tolist() == [-1] * 5
    )


@pytest.mark.parametrize("normalization", ["nmt_nfkc", "identity"])
def test_lines_of_a_word(normalization: str) -> None:
    tokenizer = english_with_bytes(normalization)
    thanks, yes, newline = tokenizer.encode(["thanks", "yes", "\n"])
    text = on_frames([word(" thanks\nyes ", 0.4, 0.8)], tokenizer)
    assert tokens(text) == [*thanks, *newline[-1:], *yes]
    assert bool(newline) == (normalization == "identity")


def test_no_token_for_a_change_of_speaker() -> None:
    bare = TextTokenizer(model_bytes(ENGLISH, pieces=90, byte_fallback=False, normalization="nmt_nfkc", changes=False))
    assert on_frames([word("you", 0.1, 0.4)], bare).lost == 0
    with pytest.raises(CheckpointError, match=r"no token for a beginning \(bos\)"):
        on_frames([word("you", 0.1, 0.4)], bare, Interleaving(keep_main_only=False, use_bos_eos=True))


def test_words_of_a_piece() -> None:
    words = [word("hello", 1.9, 2.2), word("how", 2.0, 2.4), word("are", 4.5, 5.2), word("you", 5.0, 5.5)]
    inside = words_from(words, 2.0, 3.0)
    assert [item.text for item in inside] == ["how", "are"]
    assert [(item.start, item.end) for item in inside] == [(0.0, 2.4 - 2.0), (2.5, 5.2 - 2.0)]


@pytest.mark.parametrize("seed", range(40))
def test_every_token_is_written_or_counted(seed: int) -> None:
    chance = random.Random(seed)
    vocabulary = " ".join(ENGLISH).split()
    words = []
    for _ in range(chance.randint(1, 30)):
        start = chance.choice([chance.random() * 12 - 1, chance.randint(0, 100) * 0.08])
        words.append(word(chance.choice(vocabulary), start, start + chance.choice([0, 0.1, chance.random()])))
    rule = Interleaving(keep_and_shift=seed % 2 == 0, audio_delay=chance.choice([0.0, 0.4, -0.55]))
    tokenizer = english()
    text = on_frames(words, tokenizer, rule, frames=chance.choice([0, 1, 60, 130]))
    written = [token for token in tokens(text) if token != rule.zero_padding]
    in_order = sorted(words, key=lambda item: item.start)
    spelled = [token for part in tokenizer.encode([item.text for item in in_order]) for token in part]
    assert len(written) + text.lost == len(spelled)
    remaining = iter(spelled)
    assert all(token in remaining for token in written)


@pytest.mark.parametrize("shift", [False, True])
def test_an_hour_is_quick(shift: bool) -> None:
    words = [word("internationalization", 0.3 * number, 0.3 * number + 0.2) for number in range(10_000)]
    began = time.process_time()
    text = on_frames(words, english(), Interleaving(keep_and_shift=shift), frames=45_000)
    assert time.process_time() - began < 2.0
    assert len(tokens(text)) + text.lost == 10_000 * len(english().encode(["internationalization"])[0])


def test_back_to_words() -> None:
    words = [word("hello", 0.4, 1.2), word("how", 1.6, 1.8), word("you", 3.2, 3.6)]
    for text in (
        on_frames(words, english()),
        running_text(words, english(), frame_rate=RATE, whitespace=True, ids=IDS, frames=60),
    ):
        heard = words_on_frames(text.ids, english(), frame_rate=RATE, whitespace=True, ids=IDS)
        assert [item[0] for item in heard] == ["hello", "how", "you"]
        for (_, start, end), spoken in zip(heard, words, strict=True):
            assert abs(start - spoken.start) <= 0.08
            assert start < end <= spoken.end + 0.24


def test_back_to_words_without_spaces() -> None:
    words = [word("今日は", 0.4, 0.6), word("いい", 0.6, 0.8), word("天気", 3.2, 3.4)]
    text = running_text(words, japanese(), frame_rate=RATE, whitespace=False, ids=IDS, frames=60)
    heard = words_on_frames(text.ids, japanese(), frame_rate=RATE, whitespace=False, ids=IDS)
    assert [item[0] for item in heard] == ["今日はいい", "天気"]
    assert heard[1][1] == pytest.approx(40 / RATE)


def test_bytes_back_to_a_word() -> None:
    tokenizer = english_with_bytes()
    text = running_text(
        [word("€", 0.4, 0.5), word("you", 2.0, 2.2)], tokenizer, frame_rate=RATE, whitespace=True, ids=IDS
    )
    heard = words_on_frames(text.ids, tokenizer, frame_rate=RATE, whitespace=True, ids=IDS)
    assert [item[0] for item in heard] == ["€", "you"]


def test_frames_without_text_say_nothing() -> None:
    tokenizer = english()
    row = torch.tensor([tokenizer.size, 3, 0, *tokenizer.encode(["you"])[0], 1, 2, 0, -1, -2, 32000])
    assert words_on_frames(row, tokenizer, frame_rate=RATE, whitespace=True, ids=IDS) == [
        ("you", 3 / RATE, (3 + len(tokenizer.encode(["you"])[0])) / RATE)
    ]
    assert words_on_frames(row[:3], tokenizer, frame_rate=RATE, whitespace=True, ids=IDS) == []
