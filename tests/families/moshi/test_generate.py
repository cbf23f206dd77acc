"""Dialogues that go on: what is heard, what is made up, and what comes from the recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from tests.helpers.dialogues import token_folders
from tests.helpers.moshi_folder import tiny
from voxtune.data.manifest import read_samples
from voxtune.data.sample import AudioPart, Dialogue, Sample, Word
from voxtune.errors import DataError, VoxtuneError
from voxtune.families.family import Continuation, DialogueSettings
from voxtune.families.moshi import FAMILY
from voxtune.families.moshi.config import Options
from voxtune.families.moshi.layout import MoshiLayout
from voxtune.families.moshi.model import Moshi
from voxtune.families.moshi.text import words_on_frames

SETTINGS = DialogueSettings(prompt_seconds=0.8, seconds=0.8)
HEARD = FRAMES = 10
SIZE = 1920


class Loaded(NamedTuple):
    """A built-in model and its layout."""

    model: Moshi
    layout: MoshiLayout

    def converse(self, samples: Sequence[tuple[Sample, Sequence[Tensor]]], **changes: Any) -> list[Continuation]:
        return list(FAMILY.converse(self.model, self.layout, samples, replace(SETTINGS, **changes)))


def load(options: Options) -> Loaded:
    model = tiny(options)
    layout = FAMILY.layout(model, options, "dialogue")
    assert isinstance(layout, MoshiLayout)
    return Loaded(model, layout)


@pytest.fixture(scope="module")
def one() -> Loaded:
    """It predicts its own codes."""
    return load(Options())


@pytest.fixture(scope="module")
def both() -> Loaded:
    """It predicts its partner's codes, too."""
    return load(Options(extend_for_user_stream=True))


def dialogue(key: str, frames: float = HEARD, words: list[Word] | None = None) -> tuple[Sample, list[Tensor]]:
    random = torch.Generator().manual_seed(sum(key.encode()))
    waveforms = 0.1 * torch.randn(2, round(frames * SIZE), generator=random)
    sample = Sample(key=key, dialogue=Dialogue(audio=[AudioPart(path=f"{key}.wav")], words=words or []))
    return sample, list(waveforms)


def main(sample: Sample, speaker: str) -> Sample:
    assert sample.dialogue is not None
    return sample.model_copy(update={"dialogue": sample.dialogue.model_copy(update={"main": speaker})})


class TestBoth:
    def test_shapes_and_contents(self, both: Loaded) -> None:
        asked = [dialogue("a"), dialogue("b", HEARD + 7)]
        for (sample, waveforms), found in zip(asked, both.converse(asked), strict=True):
            assert (found.key, found.partner) == (sample.key, "generated")
            assert found.tokens.shape == (1 + both.model.config.n_q, FRAMES)
            limits = torch.tensor(both.model.config.initial_tokens)[:, None]
            assert ((found.tokens >= 0) & (found.tokens < limits)).all()
            assert torch.equal(found.prompt, torch.stack(waveforms)[:, : HEARD * SIZE])
            assert found.waveform.shape == (2, FRAMES * SIZE)
            assert found.waveform.dtype == torch.float32

    def test_the_sound_goes_on_from_the_prompt(self, both: Loaded) -> None:
        sample, waveforms = dialogue("a")
        (found,) = both.converse([(sample, waveforms)])
        codec = both.layout.assets.codec
        heard = codec.encode([waveform[: HEARD * SIZE] for waveform in waveforms])
        for side, codes in enumerate(found.tokens[1:].split(both.model.config.codebooks)):
            (sound,) = codec.decode([torch.cat([heard[side], codes], 1)])
            torch.testing.assert_close(found.waveform[side], sound[HEARD * SIZE :], atol=1e-5, rtol=1e-4)

    def test_nothing_behind_the_prompt_is_heard(self, both: Loaded) -> None:
        sample, waveforms = dialogue("a", HEARD + 20)
        cut = [waveform[: HEARD * SIZE] for waveform in waveforms]
        (whole,), (alone,) = both.converse([(sample, waveforms)]), both.converse([(sample, cut)])
        assert torch.equal(whole.tokens, alone.tokens)
        (longer,) = both.converse([(sample, waveforms)], prompt_seconds=0.96)
        assert not torch.equal(longer.tokens, whole.tokens)

    def test_neither_order_nor_batch_matters(self, both: Loaded) -> None:
        asked = [dialogue(key) for key in "abc"]
        together = {found.key: found for found in both.converse(asked)}
        for item in reversed(asked):
            (alone,) = both.converse([item])
            assert torch.equal(alone.tokens, together[alone.key].tokens)
            assert alone.words == together[alone.key].words
        backwards = both.converse(asked[::-1])
        assert [found.key for found in backwards] == ["c", "b", "a"]
        assert all(torch.equal(found.tokens, together[found.key].tokens) for found in backwards)

    def test_random_numbers_follow_from_seed_and_key(self, both: Loaded) -> None:
        sample, waveforms = dialogue("a")
        (first,), (again,) = both.converse([(sample, waveforms)]), both.converse([(sample, waveforms)])
        assert torch.equal(first.tokens, again.tokens)
        (other_seed,) = both.converse([(sample, waveforms)], seed=1)
        (other_key,) = both.converse([(sample.model_copy(update={"key": "other"}), waveforms)])
        assert not torch.equal(other_seed.tokens, first.tokens)
        assert not torch.equal(other_key.tokens, first.tokens)

    def test_nothing_random_without_temperature(self, both: Loaded) -> None:
        asked = [dialogue("a")]
        greedy = {"temperature": 0.0, "text_temperature": 0.0}
        (first,), (second,) = both.converse(asked, **greedy), both.converse(asked, seed=1, **greedy)
        assert torch.equal(first.tokens, second.tokens)

    def test_without_a_prompt(self, both: Loaded) -> None:
        (found,) = both.converse([dialogue("a")], prompt_seconds=0.0)
        assert found.tokens.shape[1] == FRAMES
        assert found.prompt.shape == (2, 0)


class TestOne:
    def test_the_recording_goes_on(self, one: Loaded) -> None:
        """The partner's codes behind the prompt are the recording's, then those of silence."""
        sample, waveforms = dialogue("a", HEARD + 6)
        (found,) = one.converse([(sample, waveforms)])
        codec, own = one.layout.assets.codec, 1 + one.model.config.codebooks
        (recorded,) = codec.encode([waveforms[1]])
        (silence,) = codec.encode([torch.zeros(FRAMES * SIZE)])
        assert found.partner == "recording"
        assert torch.equal(found.tokens[own:, :6], recorded[:, HEARD:])
        assert torch.equal(found.tokens[own:, 6:], silence[:, : FRAMES - 6])

    def test_a_recording_that_ends_with_the_prompt(self, one: Loaded) -> None:
        (found,) = one.converse([dialogue("a")])
        (silence,) = one.layout.assets.codec.encode([torch.zeros(FRAMES * SIZE)])
        assert found.partner == "silence"
        assert torch.equal(found.tokens[1 + one.model.config.codebooks :], silence)

    def test_the_partner_is_heard(self, one: Loaded) -> None:
        sample, waveforms = dialogue("a", HEARD + FRAMES)
        changed = [waveforms[0], torch.cat([waveforms[1][: HEARD * SIZE], waveforms[1][HEARD * SIZE :].flip(0)])]
        (first,), (second,) = one.converse([(sample, waveforms)]), one.converse([(sample, changed)])
        own = 1 + one.model.config.codebooks
        assert not torch.equal(first.tokens[:own], second.tokens[:own])
        # what is drawn with the frame in which the partner differs first cannot have heard it
        assert torch.equal(first.tokens[:2, 0], second.tokens[:2, 0])

    def test_the_other_speaker(self, one: Loaded) -> None:
        sample, waveforms = dialogue("a", words=[Word(speaker="B", text="good morning", start=0.0, end=0.5)])
        (as_b,) = one.converse([(main(sample, "B"), waveforms)])
        renamed = [Word(speaker="A", text="good morning", start=0.0, end=0.5)]
        swapped, _ = dialogue("a", words=renamed)
        (as_a,) = one.converse([(swapped, waveforms[::-1])])
        assert torch.equal(as_b.tokens, as_a.tokens)
        assert torch.equal(as_b.prompt, torch.stack(waveforms[::-1]))
        assert {word.speaker for word in as_b.words} <= {"B"}
        (silent,) = one.converse([(main(dialogue("a")[0], "B"), waveforms)])
        assert not torch.equal(silent.tokens, as_b.tokens)  # the words of the prompt matter

    def test_words_are_those_of_the_text(self, one: Loaded) -> None:
        (found,) = one.converse([dialogue("a")], seconds=4.0)
        assets = one.layout.assets
        expected = words_on_frames(
            found.tokens[0], assets.tokenizer, frame_rate=12.5, whitespace=assets.whitespace, ids=assets.text
        )
        assert expected
        assert [(word.speaker, word.text, word.start, word.end) for word in found.words] == [
            ("A", *timed) for timed in expected
        ]

    def test_a_last_frame_that_is_not_whole(self, one: Loaded) -> None:
        sample, waveforms = dialogue("a", HEARD - 0.5)
        (found,) = one.converse([(sample, waveforms)])
        assert found.prompt.shape == (2, HEARD * SIZE)
        assert torch.equal(found.prompt[:, : len(waveforms[0])], torch.stack(waveforms))
        assert (found.prompt[:, len(waveforms[0]) :] == 0).all()

    def test_too_short(self, one: Loaded) -> None:
        with pytest.raises(DataError, match=r"sample 'b': 0\.48 s long, the prompt is 0\.80 s"):
            one.converse([dialogue("a"), dialogue("b", 6)])
        with pytest.raises(VoxtuneError, match=r"seconds = 0\.01: .* a frame of 0\.08 s"):
            one.converse([dialogue("a")], seconds=0.01)


class TestEncoded:
    def test_tokens_go_on_as_their_recording(self, one: Loaded, tmp_path: Path) -> None:
        sample, waveforms = dialogue("a", HEARD + 4)
        codes = one.layout.assets.codec.encode(waveforms)
        text = torch.full((HEARD + 4,), one.layout.assets.text.padding)
        given = {"a": tuple(dict(zip("AB", pair, strict=True)) for pair in (codes, [text, text]))}
        (encoded,) = read_samples(token_folders(tmp_path, given))  # type: ignore[arg-type]
        (found,) = one.converse([(encoded.model_copy(update={"key": "a"}), [])])
        (expected,) = one.converse([(sample, waveforms)])
        assert torch.equal(found.tokens, expected.tokens)
        assert torch.equal(found.waveform, expected.waveform)
        decoded = torch.stack(one.layout.assets.codec.decode(codes))[:, : HEARD * SIZE]
        torch.testing.assert_close(found.prompt, decoded, atol=1e-5, rtol=1e-4)


class TestSound:
    def test_left_is_the_model(self, both: Loaded) -> None:
        (found,) = both.converse([dialogue("a")])
        sound = FAMILY.sound(both.model, both.layout, found.tokens)
        codebooks = both.model.config.codebooks
        left, right = both.layout.assets.codec.decode([found.tokens[1 : 1 + codebooks], found.tokens[1 + codebooks :]])
        torch.testing.assert_close(sound, torch.stack([left, right]), atol=1e-5, rtol=1e-4)

    @pytest.mark.parametrize("shape", [(9, 4), (17, 0), (17,), (18, 4)])
    def test_other_shapes(self, one: Loaded, shape: tuple[int, ...]) -> None:
        with pytest.raises(DataError, match=r"\[17, frames\]"):
            FAMILY.sound(one.model, one.layout, torch.zeros(shape, dtype=torch.long))

    @pytest.mark.parametrize("code", [-1, 256])
    def test_other_codes(self, one: Loaded, code: int) -> None:
        tokens = torch.zeros(17, 4, dtype=torch.long)
        tokens[3, 2] = code
        with pytest.raises(DataError, match=rf"code {code} in row 3, frame 2; this model's codec has 256"):
            FAMILY.sound(one.model, one.layout, tokens)
