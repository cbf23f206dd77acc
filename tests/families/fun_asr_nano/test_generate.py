"""Greedy decoding of batches, and times from the CTC branch."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
import torch
from torch import Tensor

from tests.conftest import TinyAsr, build_tiny_asr
from tests.helpers.fun_asr_nano_folder import TINY
from voxtune.data.sample import AudioPart, Sample, TextPart, Turn, transcription
from voxtune.errors import CheckpointError, VoxtuneError
from voxtune.families.family import Settings
from voxtune.families.fun_asr_nano.config import Options
from voxtune.families.fun_asr_nano.generate import answer_tokens, clean, generate, prompt_embeddings, timed_tokens
from voxtune.parts.attention import Segments
from voxtune.parts.ctc_tokenizer import CtcTokenizer
from voxtune.parts.packed_llm import packed_hidden_states

SETTINGS = Settings(max_new_tokens=12)
SPEECH = AudioPart(path="speech.wav")


def waveform(samples: int, seed: int = 0) -> Tensor:
    return torch.randn(samples, generator=torch.Generator().manual_seed(seed)) * 0.1


def questions() -> list[tuple[Sample, list[Tensor]]]:
    lengths = (9000, 31000, 400, 16000)
    return [(transcription(f"k{n}", SPEECH), [waveform(n, seed)]) for seed, n in enumerate(lengths)]


def texts(tiny: TinyAsr, asked: list[tuple[Sample, list[Tensor]]], settings: Settings = SETTINGS) -> list[str]:
    return [output.text for output in generate(tiny.model, tiny.layout, asked, settings)]


class TestAnswers:
    def test_a_batch_gives_what_each_gives_alone(self, tiny_asr: TinyAsr) -> None:
        together = list(generate(tiny_asr.model, tiny_asr.layout, questions(), SETTINGS))
        assert [output.key for output in together] == ["k9000", "k31000", "k400", "k16000"]
        assert [output.text for output in together] == [texts(tiny_asr, [q])[0] for q in questions()]
        assert len({output.text for output in together}) == 4

    def test_the_answer_is_what_the_training_forward_pass_finds_most_probable(self, tiny_asr: TinyAsr) -> None:
        """Generation with its cache, and the packed forward pass, are one model."""
        model, layout = tiny_asr.model.eval(), tiny_asr.layout
        example = layout.example(*questions()[0])
        with torch.no_grad():
            (prompt,) = prompt_embeddings(model, [example])
            ((answer, complete),) = answer_tokens(model, layout, [prompt], 8)
            heard = torch.cat([prompt, model.llm.get_input_embeddings()(torch.tensor(answer))])
            hidden = packed_hidden_states(model.llm, heard, Segments([len(heard)], heard.device))
            predicted = model.llm.lm_head(hidden).argmax(-1)[len(prompt) - 1 : -1]
        assert predicted.tolist() == answer
        assert not complete

    def test_a_sample_with_its_answer_is_asked_without_it(self, tiny_asr: TinyAsr) -> None:
        heard = [waveform(9000)]
        asked, known = transcription("k", SPEECH), transcription("k", SPEECH, "the harbour")
        assert texts(tiny_asr, [(known, heard)]) == texts(tiny_asr, [(asked, heard)])

    def test_an_open_answer_is_continued(self, tiny_asr: TinyAsr) -> None:
        opening = Turn(role="assistant", parts=[TextPart(text="the harbour", trained=False), TextPart(text=" opens")])
        sample = Sample(key="k", turns=[Turn(role="user", parts=[SPEECH]), opening])
        (text,) = texts(tiny_asr, [(sample, [waveform(9000)])])
        assert text.startswith("the harbour")
        assert text != texts(tiny_asr, [(transcription("k", SPEECH), [waveform(9000)])])[0]

    def test_ends_at_the_end_token(self, tiny_asr: TinyAsr) -> None:
        """With the end token made the most probable one, every answer is empty."""
        end = tiny_asr.layout.tokenizer.convert_tokens_to_ids("<|im_end|>")
        tiny_asr.model.llm.lm_head.register_forward_hook(
            lambda module, args, logits: logits.index_fill(-1, torch.tensor([end]), 1e4)
        )
        assert texts(tiny_asr, questions()) == [""] * 4

    def test_only_an_answer_with_an_end_is_complete(self, tiny_asr: TinyAsr) -> None:
        """Every answer is two tokens and the end token; the last token allowed may be the end."""
        end, word = tiny_asr.layout.tokenizer.convert_tokens_to_ids(["<|im_end|>", "a"])
        steps = count()
        tiny_asr.model.llm.lm_head.register_forward_hook(
            lambda module, args, logits: logits.index_fill(-1, torch.tensor([word if next(steps) < 2 else end]), 1e4)
        )
        found = []
        for limit in (2, 3):
            steps = count()
            outputs = generate(tiny_asr.model, tiny_asr.layout, questions()[:2], Settings(max_new_tokens=limit))
            found.append([(output.text, output.complete) for output in outputs])
        assert found == [[("aa", False)] * 2, [("aa", True)] * 2]

    def test_text_without_audio(self, tiny_asr: TinyAsr) -> None:
        chat = Sample(key="k", turns=[Turn(role="user", parts=[TextPart(text="hello?")])])
        assert texts(tiny_asr, [(chat, []), questions()[0]])[1] == texts(tiny_asr, questions()[:1])[0]

    def test_half_precision(self, tiny_asr: TinyAsr) -> None:
        tiny_asr.model.bfloat16()
        assert len(texts(tiny_asr, questions())) == 4

    @pytest.mark.parametrize(("raw", "text"), [("a/sil b \n\t c", "a b c"), ("/sil", " "), ("今天  天气", "今天 天气")])
    def test_clean(self, raw: str, text: str) -> None:
        assert clean(raw) == text


class TestModes:
    def test_every_module_is_left_as_it_was(self, tiny_asr: TinyAsr) -> None:
        model = tiny_asr.model.train()
        model.audio_encoder.eval()
        before = {name: module.training for name, module in model.named_modules()}
        seen = []
        model.llm.register_forward_pre_hook(lambda module, args: seen.append(module.training))
        texts(tiny_asr, questions())
        assert {name: module.training for name, module in model.named_modules()} == before
        assert seen
        assert not any(seen)
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_also_after_an_error(self, tiny_asr: TinyAsr) -> None:
        def fail(module: object, args: object) -> None:
            raise RuntimeError("no memory")

        model = tiny_asr.model.train()
        model.llm.register_forward_pre_hook(fail)
        with pytest.raises(RuntimeError, match="no memory"):
            texts(tiny_asr, questions())
        assert all(module.training for module in model.modules())


class TestSettings:
    def test_they_are_what_the_sample_could_say(self, tiny_asr: TinyAsr) -> None:
        settings = replace(SETTINGS, language="en", hotwords=["pier"], text_normalization=False)
        said = {"language": "en", "hotwords": ["pier"], "text_normalization": False}
        heard = [waveform(9000)]
        by_settings = texts(tiny_asr, [(transcription("k", SPEECH), heard)], settings)
        by_sample = texts(tiny_asr, [(transcription("k", SPEECH).model_copy(update=said), heard)])
        assert by_settings == by_sample
        assert by_settings != texts(tiny_asr, [(transcription("k", SPEECH), heard)])

    def test_without_any_the_sample_is_asked_as_it_is(self, tiny_asr: TinyAsr) -> None:
        sample = transcription("k", SPEECH).model_copy(update={"language": "en", "hotwords": ["pier"]})
        written = Sample(key="k", turns=[Turn(role="user", parts=[TextPart(text="Repeat: "), SPEECH])])
        heard = [waveform(9000)]
        plain = texts(tiny_asr, [(transcription("k", SPEECH), heard)])
        assert texts(tiny_asr, [(sample, heard)]) != plain
        assert texts(tiny_asr, [(written, heard)]) != plain

    def test_an_unknown_language_code(self, tiny_asr: TinyAsr) -> None:
        with pytest.raises(VoxtuneError, match=r"'jp' is not known.*ja \(日文\)"):
            texts(tiny_asr, questions(), replace(SETTINGS, language="jp"))

    def test_the_context_header_of_training_is_not_in_questions(self) -> None:
        plain, header = build_tiny_asr(), build_tiny_asr(Options(context_header=True))
        assert texts(plain, questions()) == texts(header, questions())


class TestTimes:
    def test_pieces_join_to_the_text_and_follow_each_other(self, tiny_asr: TinyAsr) -> None:
        outputs = list(generate(tiny_asr.model, tiny_asr.layout, questions(), replace(SETTINGS, timestamps=True)))
        timed = {output.key: output for output in outputs if output.timestamps}
        assert "k31000" in timed
        for output in timed.values():
            assert "".join(token.text for token in output.timestamps) == output.text
            seconds = int(output.key.removeprefix("k")) / 16000
            end = 0.0
            for token in output.timestamps:
                assert end <= token.start < token.end <= seconds + 0.06
                assert 0 < token.score <= 1
                end = token.end

    def test_same_alone_and_in_a_batch(self, tiny_asr: TinyAsr) -> None:
        settings = replace(SETTINGS, timestamps=True)
        together = list(generate(tiny_asr.model, tiny_asr.layout, questions(), settings))
        alone = [next(generate(tiny_asr.model, tiny_asr.layout, [q], settings)) for q in questions()]
        for a, b in zip(together, alone, strict=True):
            assert [(t.text, t.start, t.end) for t in a.timestamps] == [(t.text, t.start, t.end) for t in b.timestamps]

    def test_none_when_the_recording_is_too_short_for_the_text(self, tiny_asr: TinyAsr) -> None:
        (output,) = generate(tiny_asr.model, tiny_asr.layout, questions()[2:3], replace(SETTINGS, timestamps=True))
        assert output.text
        assert output.timestamps == []

    def test_a_checkpoint_without_the_branch_says_so(self) -> None:
        tiny = build_tiny_asr(ctc=False)
        with pytest.raises(CheckpointError, match="no CTC branch"):
            texts(tiny, questions(), replace(SETTINGS, timestamps=True))

    def test_classes_that_only_together_make_a_character_are_one_piece(self) -> None:
        tokenizer = CtcTokenizer(TINY / "multilingual.tiktoken")
        text = "a 天 b"
        classes = tokenizer.encode(text)
        assert len(classes) > len(text) - 2
        blank = len(tokenizer.ranks)
        spoken = [c for token in classes for c in (token, blank)]
        log_probs = torch.full((len(spoken), blank + 1), -9.0)
        log_probs[torch.arange(len(spoken)), torch.tensor(spoken)] = 0.0
        times = timed_tokens(log_probs, text, tokenizer, 0.06)
        assert "".join(token.text for token in times) == text
        assert not any("\N{REPLACEMENT CHARACTER}" in token.text for token in times)
        (character,) = [token for token in times if "天" in token.text]
        pieces = len(tokenizer.encode(character.text))
        assert pieces > 1
        assert character.end - character.start == pytest.approx((2 * pieces - 1) * 0.06)
