"""ChatML lines to tokens, labels and features, and their collation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer

from benchmarks.upstream_batching import source_length
from tests.parity.conftest import cases
from tests.parity.tensors import FAMILY, assert_close, read_json, read_tensors
from voxtune.data.audio import load, probe
from voxtune.data.example import Example, pack
from voxtune.data.manifest import read_samples
from voxtune.data.plan import packs
from voxtune.data.sample import Sample
from voxtune.errors import DataError
from voxtune.families.fun_asr_nano.config import Options, config_from
from voxtune.families.fun_asr_nano.layout import AsrLayout
from voxtune.parts.sanm import SanmConfig

FEATURE_TOLERANCE = 5e-4
Case = dict[str, Any]

LINES = [
    pytest.param(folder, name, case, id=f"{folder.name}-{name}")
    for folder in cases(FAMILY, "prompt")
    for name, case in read_json(folder / "cases.json").items()
    if "line" in case
]


def layout_of(folder: Path, changed: Case) -> AsrLayout:
    """The layout that the dataset_conf keys of a case describe."""
    options = Options(
        context_header="prompt_classes" in changed,
        system_prompt=changed.get("sys_prompt", True),
        think_block=not changed.get("do_think", True),
    )
    sizes = {"output_size": 8, "attention_heads": 1, "linear_units": 8, "num_blocks": 1}
    raw = {"audio_encoder_conf": sizes, "audio_adaptor_conf": {"use_low_frame_rate": True}}
    config = config_from(raw, read_json(folder / "Qwen3-tiny" / "config.json"))
    assert isinstance(config.encoder, SanmConfig)
    return AsrLayout(config, options, AutoTokenizer.from_pretrained(folder / "Qwen3-tiny"), None, None)


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Reads a case's line as a data file that lies elsewhere; its paths are relative to the case's folder."""

    def reader(folder: Path, case: Case) -> Sample:
        monkeypatch.chdir(folder)
        file = tmp_path / "data.jsonl"
        file.write_text(json.dumps(case["line"], ensure_ascii=False) + "\n", encoding="utf-8")
        (sample,) = read_samples(file)
        return sample

    return reader


def recordings(sample: Sample) -> list[Tensor]:
    return [load(part, 16000, "sinc") for part in sample.audio]


def seconds(sample: Sample) -> list[float]:
    return [probe(part).seconds for part in sample.audio]


def has_two_recordings_in_a_turn(case: Case) -> bool:
    return any(message["content"].count("<|startofspeech|>") > 1 for message in case["line"]["messages"])


@pytest.mark.parametrize(("folder", "name", "case"), [p for p in LINES if p.values[2].get("sample")])
class TestLearned:
    """Lines that upstream trains on."""

    def test_tokens_and_labels(self, folder: Path, name: str, case: Case, read: Any) -> None:
        """Exact; where upstream leaves out turns (after the fifth, or behind max_token_length) ours go on."""
        sample, recorded = read(folder, case), case["sample"]
        layout = layout_of(folder, case["dataset_conf_overrides"])
        example = layout.example(sample, recordings(sample))
        count = len(recorded["input_ids"])
        assert example.tokens[0, :count].tolist() == recorded["input_ids"]
        assert example.labels[0, :count].tolist() == recorded["labels_ids"]
        asked = sum(message["role"] == "user" for message in case["line"]["messages"])
        answers = layout.tokenizer.decode(example.tokens[0]).count("<|im_start|>assistant")
        assert answers == asked
        kept = len(recorded["fbank_beg"])
        assert (example.frames > count) == (asked > kept)

    def test_recordings(self, folder: Path, name: str, case: Case, read: Any) -> None:
        sample, recorded = read(folder, case), case["sample"]
        layout = layout_of(folder, case["dataset_conf_overrides"])
        audio = layout.example(sample, recordings(sample)).audio
        theirs = [place for place in zip(recorded["fbank_beg"], recorded["fake_token_len"], strict=True) if place[1]]
        if has_two_recordings_in_a_turn(case):
            # upstream leaves two runs of placeholders and fills the last alone; not copied, such a turn is an error
            assert any("two recordings" in problem for problem in layout.problems(sample, seconds(sample)))
            return
        assert [(item.start, item.frames) for item in audio][: len(theirs)] == theirs
        assert [[len(item.features)] for item in audio][: len(theirs)] == recorded["speech_lengths"]
        assert layout.problems(sample, seconds(sample)) == []

    def test_size_is_known_ahead(self, folder: Path, name: str, case: Case, read: Any) -> None:
        sample = read(folder, case)
        layout = layout_of(folder, case["dataset_conf_overrides"])
        example = layout.example(sample, recordings(sample))
        size = layout.size(sample, seconds(sample))
        assert size.frames == example.frames
        assert size.rows == sum(len(item.features) for item in example.audio)
        assert size.labels == int((example.labels >= 0).sum())

    def test_length_for_upstreams_batches(self, folder: Path, name: str, case: Case, read: Any) -> None:
        speech, text = (case["line"][key] for key in ("speech_length", "text_length"))
        speech, text = (value[0] if isinstance(value, list) else value for value in (speech, text))
        assert source_length(int(speech), int(text)) == case["source_len"]


@pytest.mark.parametrize(("folder", "name", "case"), [p for p in LINES if not p.values[2].get("sample")])
def test_not_learned_by_upstream(folder: Path, name: str, case: Case, read: Any) -> None:
    """Upstream drops these lines without a word, or replaces them by others. Not copied: what is wrong is said.

    It trusts the lengths written in the line; ours are measured, so a line whose lengths are wrong is good data.
    """
    layout = layout_of(folder, case["dataset_conf_overrides"])
    sample = read(folder, case)
    if not all((folder / part.path).is_file() for part in sample.audio):
        with pytest.raises(DataError, match=Path(sample.audio[0].path).name):
            recordings(sample)
    elif not sample.answer:
        assert layout.problems(sample, seconds(sample)) == ["no text to learn: the answer is empty"]
    else:
        assert layout.problems(sample, seconds(sample)) == []


@pytest.mark.parametrize("folder", cases(FAMILY, "prompt"), ids=lambda folder: folder.name)
class TestFolder:
    def test_lengths_outside_the_limits_are_named(self, folder: Path, read: Any) -> None:
        sample = read(folder, next(case for case in read_json(folder / "cases.json").values() if case.get("sample")))
        layout = layout_of(folder, {})
        assert "0.05 s" in layout.problems(sample, [0.05])[0]
        assert "120.01 s" in layout.problems(sample, [120.01])[0]

    def test_placeholders(self, folder: Path) -> None:
        config = layout_of(folder, {}).config
        for rows, frames in read_json(folder / "fake_token_len.json")["lfr_frames_to_tokens"].items():
            assert config.audio_frames(int(rows)) == frames

    def examples(self, folder: Path, read: Any) -> list[Example]:
        found = read_json(folder / "cases.json")
        layout = layout_of(folder, {})
        samples = [read(folder, found[name]) for name in found["_batch"]["samples"]]
        return [layout.example(sample, recordings(sample)) for sample in samples]

    def test_batch(self, folder: Path, read: Any) -> None:
        """Upstream's padded batch without its padding is ours."""
        padded, examples = read_tensors(folder, "batch"), self.examples(folder, read)
        segment = 0
        for row, example in enumerate(examples):
            assert int((padded["attention_mask"][row] > 0).sum()) == example.frames
            assert padded["input_ids"][row, : example.frames].tolist() == example.tokens[0].tolist()
            assert padded["labels_ids"][row, : example.frames].tolist() == example.labels[0].tolist()
            turns = zip(padded["fbank_beg"][row].tolist(), padded["fake_token_len"][row].tolist(), strict=True)
            assert [(a.start, a.frames) for a in example.audio] == [turn for turn in turns if turn[0] > 0]
            for audio in example.audio:
                rows = int(padded["speech_lengths"][segment, 0])
                assert_close(audio.features, padded["speech"][segment, :rows], FEATURE_TOLERANCE, f"segment {segment}")
                segment += 1
        assert segment == len(padded["speech"])
        assert pack(examples).tokens.shape[1] == int((padded["attention_mask"] > 0).sum())

    def test_nothing_falls_off_a_full_batch(self, folder: Path, read: Any) -> None:
        """Upstream's collator drops samples from the end of a batch that is too large; ours go into the next one."""
        drop = read_json(folder / "cases.json")["_batch_drop"]
        costs = torch.tensor([example.frames for example in self.examples(folder, read)])
        assert drop["kept_samples"] < len(costs)
        (mine,) = packs(range(len(costs)), costs.tolist(), drop["batch_size_token_max"], 1)
        assert sorted(number for group in mine for number in group) == list(range(len(costs)))
        assert max(int(costs[group].sum()) for group in mine) <= drop["batch_size_token_max"]
