"""Words as running text on frames."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from itertools import pairwise

import pytest

from tests.families.moshi.text_models import ENGLISH, IDS, english, english_with_bytes, japanese, spelled
from voxtune.data.sample import Word
from voxtune.families.moshi.running_text import running_text
from voxtune.families.moshi.text import FrameText, TextIds
from voxtune.families.moshi.tokenizer import TextTokenizer

RATE = 12.5
BLANK = (IDS.padding, IDS.end_of_padding)


def said(*words: tuple[str, float, float]) -> list[Word]:
    return [Word(speaker="A", text=text, start=start, end=end) for text, start, end in words]


def on_frames(
    words: Sequence[Word], tokenizer: TextTokenizer, *, whitespace: bool = True, frames: int | None = None
) -> FrameText:
    return running_text(words, tokenizer, frame_rate=RATE, whitespace=whitespace, ids=IDS, frames=frames)


def tokens(text: FrameText) -> list[int]:
    return [token for token in text.ids.tolist() if token not in BLANK]


def test_one_word() -> None:
    text = on_frames(said(("you", 0.4, 0.8)), english())
    you = spelled(english(), "you")
    first = int(0.4 // 0.08)
    assert text.ids[first] == you[0]
    assert text.ids[first - 1] == IDS.end_of_padding
    assert text.ids[: first - 1].tolist() == [IDS.padding] * (first - 1)
    assert tokens(text) == you
    assert len(text.ids) == int(1.8 * RATE)
    assert (text.lost, text.unknown) == (0, 0)


@pytest.mark.parametrize("words", [[], said((" ", 0.1, 0.2), ("", 0.3, 0.4))])
def test_a_speaker_who_says_nothing(words: list[Word]) -> None:
    assert on_frames(words, english(), frames=5).ids.tolist() == [IDS.padding] * 5
    assert on_frames(words, english()).ids.tolist() == []


def test_blank_words_change_nothing() -> None:
    words = said(("hello", 0.3, 0.5), ("you", 1.4, 1.6))
    for blank in (" ", "", "\n"):
        for start in (0.1, 0.6, 1.7):
            with_blank = [*words, *said((blank, start, start + 0.1))]
            assert on_frames(with_blank, english()).ids.tolist() == on_frames(words, english()).ids.tolist()


def test_bytes_share_their_character() -> None:
    tokenizer = english_with_bytes()
    text = on_frames(said(("you", 0.2, 0.4), ("€", 2.0, 2.1), ("how", 4.0, 4.2)), tokenizer)
    euro = tokenizer.encode(["€"])[0]
    assert len(euro) == 4
    at = int(2.0 // 0.08)
    assert text.ids[at : at + 4].tolist() == euro
    assert tokenizer.text(text.ids.tolist(), skip=BLANK) == "you € how"


def test_normalisation_moves_no_word() -> None:
    for text in ("ﬁsh", "㍿", "e\u0301", "so  what"):
        frames = on_frames(said((text, 0.3, 0.5), ("how", 4.0, 4.2)), english()).ids.tolist()
        assert frames[49] == english().encode(["how"])[0][0]
        assert frames[48] == IDS.end_of_padding


def test_half_width_kana() -> None:
    frames = on_frames(said(("ｶﾞ", 0.3, 0.5), ("です", 1.4, 1.6)), japanese(), whitespace=False).ids.tolist()
    (voiced,) = spelled(japanese(), "ガ")
    assert frames[3] == voiced
    assert frames[17] == spelled(japanese(), "で")[0]


def test_negative_start_is_the_first_frame() -> None:
    text = on_frames(said(("you", -0.5, 0.1), ("how", 3.0, 3.2)), english())
    you = spelled(english(), "you")
    assert text.ids[: len(you)].tolist() == you
    assert text.ids[-10:].tolist() == [IDS.padding] * 10


def test_japanese_has_no_spaces() -> None:
    words = said(("今日", 0.4, 0.8), ("は", 0.8, 0.9), ("いい", 0.9, 1.2), ("天気", 2.0, 2.4))
    assert tokens(on_frames(words, japanese(), whitespace=False)) == spelled(japanese(), "今日はいい天気")
    assert "▁" in [japanese().piece(token) for token in tokens(on_frames(words, japanese()))]


def test_words_behind_the_recording_are_counted() -> None:
    words = said(("hello", 0.4, 0.8), ("you", 5.0, 5.2))
    text = on_frames(words, english(), frames=25)
    assert tokens(text) == english().encode(["hello"])[0]
    assert text.lost == len(english().encode(["you"])[0])


def test_unknown_characters_are_counted() -> None:
    assert on_frames(said(("you", 0.4, 0.8), ("駅", 1.0, 1.4)), english()).unknown == 1


def some_words(chance: random.Random, *, overlapping: bool) -> list[Word]:
    """Words with and without pauses, some of no length, and one long after them that gives room for all."""
    vocabulary = [*" ".join(ENGLISH).split(), "ﬁsh", "so  what", " well "]
    words, now = [], 0.0
    for _ in range(chance.randint(1, 30)):
        start = now + chance.choice([0, 0, 0.08, chance.random()])
        now = start + chance.choice([0, 0.02, 0.24, chance.random()])
        words.append(Word(speaker="A", text=chance.choice(vocabulary), start=start, end=now))
        now = start if overlapping else now
    return [*words, Word(speaker="A", text="you", start=now + 60, end=now + 60.5)]


@pytest.mark.parametrize("seed", range(40))
def test_every_token_once_and_in_order(seed: int) -> None:
    words = some_words(random.Random(seed), overlapping=False)
    text = on_frames(words, english())
    assert tokens(text) == spelled(english(), " ".join(word.text.strip() for word in words))
    assert text.lost == 0


@pytest.mark.parametrize("seed", range(40))
def test_no_token_over_another(seed: int) -> None:
    """Words at once and in any order: all tokens are there, marks stand before tokens, and cutting is counted."""
    chance = random.Random(seed)
    words = some_words(chance, overlapping=True)
    chance.shuffle(words)
    text = on_frames(words, english())
    joined = " ".join(word.text.strip() for word in sorted(words, key=lambda word: word.start))
    assert sorted(tokens(text)) == sorted(spelled(english(), joined))
    frames = text.ids.tolist()
    for token, following in pairwise(frames):
        assert token not in BLANK or (following in BLANK) == (token == IDS.padding)
    cut = chance.randrange(len(frames))
    shorter = on_frames(words, english(), frames=cut)
    assert shorter.ids.tolist() == frames[:cut]
    assert len(tokens(shorter)) + shorter.lost == len(tokens(text))


def test_the_id_of_padding_may_be_any() -> None:
    words = said(("hello", 0.46, 1.02), ("how", 1.3, 1.5))
    other = running_text(words, english(), frame_rate=25, whitespace=True, ids=TextIds(1, 2))
    usual = running_text(words, english(), frame_rate=25, whitespace=True, ids=IDS)
    swapped = {IDS.padding: 1, IDS.end_of_padding: 2}
    assert other.ids.tolist() == [swapped.get(token, token) for token in usual.ids.tolist()]


@pytest.mark.parametrize("seconds", [0.3, 0.0])
def test_an_hour_is_quick(seconds: float) -> None:
    """Also where all words are said at once, so that each token waits for all before it."""
    words = said(
        *(
            (f"hello{'' if number % 2 else ' you'}", seconds * number, seconds * number + 0.2)
            for number in range(10_000)
        )
    )
    began = time.process_time()
    text = on_frames(words, english(), frames=45_000)
    assert time.process_time() - began < 2.0
    assert len(tokens(text)) + text.lost == len(english().encode([" ".join(word.text for word in words)])[0])
