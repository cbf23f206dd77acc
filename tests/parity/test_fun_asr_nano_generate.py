"""Inference prompts and greedy decoding."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer

from tests.parity.conftest import cases
from tests.parity.tensors import FAMILY, assert_close, read_json, read_tensors
from voxtune.data.audio import load
from voxtune.data.example import IGNORED, pack
from voxtune.data.sample import AudioPart, Sample, TextPart, Turn, transcription
from voxtune.families.family import Settings
from voxtune.families.fun_asr_nano.config import Options, config_from
from voxtune.families.fun_asr_nano.generate import answer_tokens, generate, prompt_embeddings
from voxtune.families.fun_asr_nano.layout import AsrLayout
from voxtune.families.fun_asr_nano.model import FunAsrNano

NEW_TOKENS = 24
EMBEDDING_TOLERANCE = 1e-4
LOGIT_TOLERANCE = 5e-4
LOSS_TOLERANCE = 2e-5

PROMPTED = [
    (folder, name, case)
    for folder in cases(FAMILY, "generate")
    for name, case in read_json(folder / "outputs.json").items()
    if "source_ids" in case
]
OPTIONS_ONLY = [item for item in PROMPTED if "prev_text" not in item[2]["options"]]
WITH_TENSORS = [item for item in PROMPTED if f"{item[1]}.inputs_embeds" in read_tensors(item[0], "outputs")]


def each(items: list[tuple[Path, str, dict[str, Any]]]) -> pytest.MarkDecorator:
    ids = [f"{folder.name}-{name}" for folder, name, _ in items]
    return pytest.mark.parametrize(("folder", "name", "case"), items, ids=ids)


Loaded = dict[Path, tuple[FunAsrNano, AsrLayout]]


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return {}


def load_model(folder: Path, loaded: Loaded) -> tuple[FunAsrNano, AsrLayout]:
    """The model of the neighbouring folder `model` with the tokenizer of `prompt`, as the recording used them."""
    if folder not in loaded:
        config = config_from(
            read_json(folder.parent / "model" / "config.json"),
            read_json(folder.parent / "prompt" / "Qwen3-tiny" / "config.json"),
        )
        model = FunAsrNano(config)
        model.load_state_dict(read_tensors(folder.parent / "model", "weights"))
        tokenizer = AutoTokenizer.from_pretrained(folder.parent / "prompt" / "Qwen3-tiny")
        loaded[folder] = model.eval(), AsrLayout(config, Options(), tokenizer, None, None)
    return loaded[folder]


def heard(folder: Path, wav: str, key: str = "case", **update: Any) -> tuple[Sample, list[Tensor]]:
    part = AudioPart(path=str(folder.parent / "prompt" / wav))
    return transcription(key, part).model_copy(update=update), [load(part, 16000)]


def asked(folder: Path, case: dict[str, Any]) -> tuple[Sample, list[Tensor]]:
    """The case's recording, and its options said by the sample."""
    options = case["options"]
    update = {"language": options.get("language"), "hotwords": options.get("hotwords", [])}
    sample, waveforms = heard(folder, case["wav"], text_normalization=options.get("itn", True), **update)
    if "prev_text" in options:
        opening = Turn(role="assistant", parts=[TextPart(text=options["prev_text"], trained=False)])
        sample = sample.model_copy(update={"turns": [*sample.turns, opening]})
    return sample, waveforms


@each(PROMPTED)
def test_prompt(folder: Path, name: str, case: dict[str, Any], loaded: Loaded) -> None:
    _, layout = load_model(folder, loaded)
    example = layout.example(*asked(folder, case))
    assert example.tokens[0].tolist() == case["source_ids"]
    assert (example.labels == IGNORED).all()
    assert [audio.start for audio in example.audio] == case["fbank_beg"][0]
    assert [audio.frames for audio in example.audio] == case["fake_token_len"][0]
    assert [len(audio.features) for audio in example.audio] == case["speech_lengths"][0]


@each(PROMPTED)
def test_answer(folder: Path, name: str, case: dict[str, Any], loaded: Loaded) -> None:
    model, layout = load_model(folder, loaded)
    with torch.no_grad():
        prompts = prompt_embeddings(model, [layout.example(*asked(folder, case))])
        tokens, complete = answer_tokens(model, layout, prompts, NEW_TOKENS)[0]
    recorded = case["generated_ids"]
    end = layout.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert complete == (recorded[-1] == end)
    assert tokens == (recorded[:-1] if complete else recorded)
    (output,) = generate(model, layout, [asked(folder, case)], Settings(max_new_tokens=NEW_TOKENS))
    assert output.text == case["text"]


@each(OPTIONS_ONLY)
def test_settings_say_the_same_as_the_sample(folder: Path, name: str, case: dict[str, Any], loaded: Loaded) -> None:
    """A request that is written into the turn gives way to the settings."""
    model, layout = load_model(folder, loaded)
    settings = Settings(
        max_new_tokens=NEW_TOKENS,
        language=case["options"].get("language"),
        hotwords=case["options"].get("hotwords", []),
        text_normalization=case["options"].get("itn", True),
    )
    sample, waveforms = heard(folder, case["wav"])
    written = Turn(role="user", parts=[TextPart(text="语音转写："), *sample.turns[0].parts])
    for question in (sample, sample.model_copy(update={"turns": [written], "task": None})):
        (output,) = generate(model, layout, [(question, waveforms)], settings)
        assert output.text == case["text"]


@each(WITH_TENSORS)
def test_tensors(folder: Path, name: str, case: dict[str, Any], loaded: Loaded) -> None:
    outputs = read_tensors(folder, "outputs")
    model, layout = load_model(folder, loaded)
    with torch.no_grad():
        (prompt,) = prompt_embeddings(model, [layout.example(*asked(folder, case))])
        logits = model.llm(inputs_embeds=prompt[None]).logits[:, -1]
    assert_close(prompt[None], outputs[f"{name}.inputs_embeds"], EMBEDDING_TOLERANCE, "inputs_embeds")
    assert_close(logits, outputs[f"{name}.first_logits"], LOGIT_TOLERANCE, "first_logits")


@pytest.mark.parametrize("folder", cases(FAMILY, "generate"), ids=lambda folder: folder.name)
class TestTogether:
    def test_batch_gives_what_each_gives_alone(self, folder: Path, loaded: Loaded) -> None:
        case = read_json(folder / "outputs.json")["batched"]
        model, layout = load_model(folder, loaded)
        keys = [result["key"] for result in case["results"]]
        questions = [heard(folder, wav, key) for key, wav in zip(keys, case["wavs"], strict=True)]
        limit = token_limit(model, layout, questions[0], case["single_texts"][0])
        settings = Settings(max_new_tokens=limit)
        together = list(generate(model, layout, questions, settings))
        alone = [next(generate(model, layout, [question], settings)) for question in questions]
        assert [output.key for output in together] == keys
        assert [output.text for output in together] == [result["text"] for result in case["results"]]
        assert [output.text for output in alone] == case["single_texts"]

    def test_teacher_forcing(self, folder: Path, loaded: Loaded) -> None:
        """Upstream reads its predictions one position late: its text lacks the first token of the answer and has one
        that follows the end. Not copied: ours are read where the labels are. The loss is the ordinary one.

        The recording does not say which sample it took; it is one of the folder `prompt`.
        """
        recorded = read_json(folder / "outputs.json")["teacherforcing"]
        model, layout = load_model(folder, loaded)
        runs = [forced(model, layout, *pair) for pair in answered(folder)]
        loss, predicted = min(runs, key=lambda run: abs(run[0] - recorded["loss"]))
        assert loss == pytest.approx(recorded["loss"], abs=LOSS_TOLERANCE)
        assert layout.tokenizer.decode(predicted[1:], skip_special_tokens=True) == recorded["text"]


def token_limit(model: FunAsrNano, layout: AsrLayout, question: tuple[Sample, list[Tensor]], text: str) -> int:
    """After how many tokens the recording stopped (it does not say)."""
    for limit in range(1, NEW_TOKENS + 1):
        (output,) = generate(model, layout, [question], Settings(max_new_tokens=limit))
        if output.text == text:
            return limit
    raise AssertionError(f"{text!r} is not among the answers of up to {NEW_TOKENS} tokens")


def answered(folder: Path) -> list[tuple[Sample, list[Tensor]]]:
    """The samples of `prompt` that have one plain request, with their answers."""
    found = []
    for case in read_json(folder.parent / "prompt" / "cases.json").values():
        messages = case["line"]["messages"] if case.get("sample") and not case["dataset_conf_overrides"] else []
        match = (
            re.fullmatch(r"语音转写：<\|startofspeech\|>!([^<]*)<\|endofspeech\|>", messages[-2]["content"])
            if messages
            else None
        )
        if match and len(messages) == 3 and "prev_content" not in messages[-1]:
            sample, waveforms = heard(folder, match[1])
            answer = Turn(role="assistant", parts=[TextPart(text=messages[-1]["content"])])
            found.append((sample.model_copy(update={"turns": [*sample.turns, answer]}), waveforms))
    return found


def forced(model: FunAsrNano, layout: AsrLayout, sample: Sample, waveforms: list[Tensor]) -> tuple[float, list[int]]:
    """Mean loss of an answer, and the most probable tokens from before its first to behind its last."""
    example = layout.example(sample, waveforms)
    batch = pack([example])
    with torch.no_grad():
        loss = model(batch)["text"] / model.label_counts(batch)["text"]
        (embeddings,) = prompt_embeddings(model, [example])
        logits = model.llm(inputs_embeds=embeddings[None]).logits[0]
    first = int((example.labels[0] != IGNORED).nonzero()[0])
    return float(loss), logits[first - 1 :].argmax(-1).tolist()
