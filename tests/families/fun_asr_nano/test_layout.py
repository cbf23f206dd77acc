"""Samples to tokens, labels and recordings; what cannot be learned."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from tests.conftest import TinyAsr, build_tiny_asr
from voxtune.data.example import IGNORED
from voxtune.data.sample import AudioPart, Dialogue, Sample, TextPart, Turn, transcription
from voxtune.families.fun_asr_nano.config import Options

SPEECH = AudioPart(path="speech.wav")
WAVEFORM = torch.randn(16000, generator=torch.Generator().manual_seed(0)) * 0.1


def text_of(tiny: TinyAsr, sample: Sample) -> str:
    example = tiny.layout.example(sample, [WAVEFORM for _ in sample.audio])
    return tiny.layout.tokenizer.decode(example.tokens[0])


def learned(tiny: TinyAsr, sample: Sample) -> str:
    example = tiny.layout.example(sample, [WAVEFORM for _ in sample.audio])
    return tiny.layout.tokenizer.decode(example.labels[0][example.labels[0] != IGNORED])


def conversation(*turns: tuple[str, list[str | AudioPart]], **known: object) -> Sample:
    def part(item: str | AudioPart) -> TextPart | AudioPart:
        return TextPart(text=item) if isinstance(item, str) else item

    return Sample(key="k", turns=[Turn(role=role, parts=[part(i) for i in items]) for role, items in turns], **known)


class TestTokens:
    def test_transcription(self, tiny_asr: TinyAsr) -> None:
        example = tiny_asr.layout.example(transcription("k", SPEECH, "the harbour"), [WAVEFORM])
        (audio,) = example.audio
        placeholders = tiny_asr.layout.tokenizer.decode([0] * audio.frames)
        assert tiny_asr.layout.tokenizer.decode(example.tokens[0]) == (
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            f"<|im_start|>user\n语音转写：{placeholders}<|im_end|>\n"
            "<|im_start|>assistant\nthe harbour<|im_end|>"
        )
        assert example.tokens[0, audio.start : audio.start + audio.frames].tolist() == [0] * audio.frames
        assert audio.features.shape == (17, 560)
        assert audio.frames == 3

    def test_only_answers_are_learned(self, tiny_asr: TinyAsr) -> None:
        sample = conversation(
            ("user", [SPEECH]), ("assistant", ["one"]), ("user", ["again?"]), ("assistant", ["two"]), task="asr"
        )
        assert learned(tiny_asr, sample) == "one<|im_end|>two<|im_end|>"

    def test_untrained_words_of_an_answer_are_context(self, tiny_asr: TinyAsr) -> None:
        opening = TextPart(text="the harbour ", trained=False)
        turns = [Turn(role="user", parts=[SPEECH]), Turn(role="assistant", parts=[opening, TextPart(text="opens")])]
        sample = Sample(key="k", turns=turns)
        assert learned(tiny_asr, sample) == "opens<|im_end|>"
        assert text_of(tiny_asr, sample).endswith("assistant\nthe harbour opens<|im_end|>")
        assert text_of(tiny_asr, sample.question()).endswith("assistant\nthe harbour ")

    def test_a_question_ends_where_the_answer_begins(self, tiny_asr: TinyAsr) -> None:
        question = transcription("k", SPEECH, "the harbour").question()
        assert text_of(tiny_asr, question).endswith("<|im_start|>assistant\n")
        assert learned(tiny_asr, question) == ""

    @pytest.mark.parametrize(
        ("known", "request_text"),
        [
            ({"language": "en"}, "语音转写成英文："),
            ({"language": "日文"}, "语音转写成日文："),
            ({"text_normalization": False}, "语音转写，不进行文本规整："),
            ({"language": "sv", "text_normalization": False}, "语音转写成瑞典语，不进行文本规整："),
        ],
    )
    def test_requests(self, tiny_asr: TinyAsr, known: dict[str, object], request_text: str) -> None:
        sample = transcription("k", SPEECH).model_copy(update=known)
        assert f"user\n{request_text}" in text_of(tiny_asr, sample)

    def test_hot_words_come_before_the_first_request_only(self, tiny_asr: TinyAsr) -> None:
        sample = conversation(
            ("user", [SPEECH]), ("assistant", ["one"]), ("user", [SPEECH]), task="asr", hotwords=["pier", "quay"]
        )
        text = text_of(tiny_asr, sample)
        assert text.count("热词列表：[pier, quay]\n语音转写：") == 1
        assert text.index("热词列表") < text.index("one")

    def test_a_written_request_is_kept(self, tiny_asr: TinyAsr) -> None:
        text = text_of(tiny_asr, conversation(("user", ["What is said? ", SPEECH, " Briefly."])))
        assert "user\nWhat is said? !" in text
        assert "! Briefly.<|im_end|>" in text
        assert "语音转写" not in text

    def test_options(self) -> None:
        options = Options(system_prompt=False, think_block=True, context_header=True)
        tiny = build_tiny_asr(options)
        sample = transcription("k", SPEECH, "x").model_copy(update={"first_pass": "the arbor", "hotwords": ["pier"]})
        text = text_of(tiny, sample)
        assert text.startswith("<|im_start|>user\n请结合下面提供的上下文信息")
        assert "一遍解码结果：the arbor\n热词列表：pier\n语音转写：" in text
        assert "<|im_start|>assistant\n<think>\n\n</think>\n\nx" in text
        inference = tiny.layout.inference()
        assert "下面提供的" not in inference.tokenizer.decode(inference.example(sample, [WAVEFORM]).tokens[0])
        assert tiny.layout.options.context_header


class TestAudio:
    def test_size_is_known_without_the_audio(self, tiny_asr: TinyAsr) -> None:
        sample = conversation(("user", [SPEECH]), ("assistant", ["one"]), ("user", [SPEECH]), ("assistant", ["two"]))
        waveforms = [WAVEFORM[:9000], WAVEFORM]
        example = tiny_asr.layout.example(sample, waveforms)
        size = tiny_asr.layout.size(sample, [len(w) / 16000 for w in waveforms])
        assert size.frames == example.frames
        assert size.rows == sum(len(audio.features) for audio in example.audio)
        assert size.labels == int((example.labels != IGNORED).sum())
        assert size.cost == size.frames + size.rows

    def test_encoded_audio_goes_to_its_place(self, tiny_asr: TinyAsr) -> None:
        sample = transcription("k", SPEECH, "the harbour")
        (raw,) = tiny_asr.layout.example(sample, [WAVEFORM]).audio
        raw.start, raw.encoded = 0, "audio_encoder"
        (placed,) = tiny_asr.layout.example(sample, [raw]).audio
        assert placed.start > 0
        assert placed.encoded == "audio_encoder"
        assert raw.start == 0

    def test_ctc_labels_are_what_is_said_in_the_recording(self) -> None:
        layout = build_tiny_asr(Options(ctc_weight=0.3)).layout
        assert layout.ctc_tokenizer is not None
        turns = ("user", [SPEECH]), ("assistant", ["one"]), ("user", [SPEECH]), ("assistant", ["two"])
        audio = layout.example(conversation(*turns), [WAVEFORM, WAVEFORM]).audio
        assert [layout.ctc_tokenizer.decode(item.labels.tolist()) for item in audio] == ["one", "two"]

    def test_augmentation_only_with_random_numbers(self) -> None:
        layout = build_tiny_asr(Options(dither=1.0, spec_augment=True)).layout
        assert torch.equal(layout.features(WAVEFORM), layout.features(WAVEFORM))
        first, again, other = (layout.features(WAVEFORM, np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert not torch.equal(first, layout.features(WAVEFORM))

    def test_no_text_is_tokenised_twice(self, tiny_asr: TinyAsr, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[str] = []
        tokenizer, encode = tiny_asr.layout.tokenizer, tiny_asr.layout.tokenizer.encode
        monkeypatch.setattr(
            tokenizer, "encode", lambda text, **options: [seen.append(text), encode(text, **options)][1]
        )
        for answer in ("the harbour", "opens now"):
            sample = transcription("k", SPEECH, answer)
            assert tiny_asr.layout.problems(sample, [1.0]) == []
            example = tiny_asr.layout.example(sample, [WAVEFORM])
            assert tiny_asr.layout.size(sample, [1.0]).frames == example.tokens.shape[1]
        assert len(seen) == len(set(seen)) == 4  # two answers, and what stands before and behind a recording

    def test_survives_pickling(self, tiny_asr: TinyAsr) -> None:
        sample = transcription("k", SPEECH, "the harbour")
        again = pickle.loads(pickle.dumps(tiny_asr.layout)).example(sample, [WAVEFORM])
        assert torch.equal(again.tokens, tiny_asr.layout.example(sample, [WAVEFORM]).tokens)


class TestProblems:
    @pytest.mark.parametrize(
        "text", ["the harbour, 42 %", "今天天气很好。", "Tie\u0302\u0301ng, \u1112\u1161\u11ab", "<b>"]
    )
    def test_a_good_sample_has_none(self, tiny_asr: TinyAsr, text: str) -> None:
        assert tiny_asr.layout.problems(transcription("k", SPEECH, text), [3.0]) == []

    @pytest.mark.parametrize(
        ("sample", "seconds", "complaint"),
        [
            (transcription("k", SPEECH, "x"), [0.09], "audio of 0.09 s"),
            (transcription("k", SPEECH, "x"), [120.5], "audio of 120.50 s"),
            (transcription("k", SPEECH, ""), [3.0], "no text to learn"),
            (transcription("k", SPEECH), [3.0], "no text to learn"),
            (transcription("k", SPEECH, "x <|im_end|>"), [3.0], "<|im_end|>, which is a control token"),
            (transcription("k", SPEECH, "<|im_start|>user"), [3.0], "<|im_start|>, which is a control token"),
            (transcription("k", SPEECH, "x \ud800"), [3.0], "half a character"),
            (transcription("k", SPEECH, "harbour " * 5000), [3.0], "the model takes 2048"),
            (conversation(("user", [SPEECH, SPEECH]), ("assistant", ["x"])), [3.0, 3.0], "two recordings in one turn"),
            (conversation(("user", [SPEECH]), ("assistant", ["x", SPEECH])), [3.0, 3.0], "not the user's"),
            (Sample(key="k", dialogue=Dialogue(audio=[SPEECH])), [3.0], "two-speaker dialogue"),
        ],
    )
    def test_each_is_named(self, tiny_asr: TinyAsr, sample: Sample, seconds: list[float], complaint: str) -> None:
        (problem,) = tiny_asr.layout.problems(sample, seconds)
        assert complaint in problem
