"""nu-dialogue's rows, labels, losses and gradients, with and without the user's stream."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from tests.parity.conftest import cases
from tests.parity.moshi_case import LOGITS, LOSSES, assert_gradients, losses, network
from tests.parity.tensors import CPU, assert_close, read_json, read_tensors
from voxtune.data.encoded import write_encoded_parquet
from voxtune.data.example import IGNORED, Example, pack
from voxtune.data.manifest import read_samples
from voxtune.families.moshi.assets import Assets
from voxtune.families.moshi.config import LmConfig, Options
from voxtune.families.moshi.delays import labels_of
from voxtune.families.moshi.layout import MoshiLayout
from voxtune.families.moshi.text import TextIds
from voxtune.parts.attention import Segments

CASES = cases("moshi", "jmoshi_train")


def examples(case: Path, folder: Path, *, split: bool) -> list[Example]:
    """The dialogues of a case as rows: upstream takes all dialogues for the first speaker, then for the next."""
    recorded = read_json(case / "config.json")
    preprocess = recorded["preprocess"]
    dialogues = read_json(case / "inputs.json")
    rows = list(zip(dialogues["dialogue_id"], dialogues["A"], dialogues["B"], strict=True))
    [path] = write_encoded_parquet(rows, folder / "x", len(rows))
    codec = SimpleNamespace(sample_rate=24000, frame_size=1920, frame_rate=12.5)
    ids = TextIds(preprocess["padding_token_ids"][0])
    assets = cast(Assets, SimpleNamespace(codec=codec, text=ids))
    config = LmConfig.from_dict(recorded["moshi_lm_kwargs"], str(case))
    options = Options(speakers=preprocess["speakers"], max_frames=preprocess["max_length"] if split else None)
    layout = MoshiLayout(config, options, assets)
    samples = read_samples(path)
    assert not any(layout.problems(sample, []) for sample in samples)
    views = [view for sample in samples for view in layout.views(sample, [])]
    views.sort(key=lambda view: preprocess["speakers"].index(view.dialogue.main) if view.dialogue else -1)
    made = [layout.example(view, []) for view in views]
    assert [example.frames for example in made] == [layout.size(view, []).frames for view in views]
    for example, view in zip(made, views, strict=True):
        if view.dialogue and view.dialogue.piece[0]:  # upstream does without the column before
            example.tokens, example.labels = example.tokens[:, 1:], example.labels[:, 1:]
    return made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("split", [True, False])
def test_rows_and_labels(case: Path, split: bool, tmp_path: Path) -> None:
    made = examples(case, tmp_path, split=split)
    if split:  # upstream leaves out what is too short; we keep all
        shortest = read_json(case / "config.json")["preprocess"]["min_length"] or 0
        made = [example for example in made if example.frames >= shortest]
    recorded = read_tensors(case, "preprocessed")
    prefix = "" if split else "unsplit_"
    assert len(made) == sum(name.startswith(f"{prefix}streams_") for name in recorded)
    for number, example in enumerate(made):
        assert torch.equal(example.tokens, recorded[f"{prefix}streams_{number}"])
        labels = recorded[f"{prefix}labels_{number}"]
        predicted = (example.labels != IGNORED).any(1).sum()
        ours = torch.where(example.labels == IGNORED, -1, example.labels)[:predicted, 1:]
        assert torch.equal(ours, labels[:predicted, 1:])


def batch_of(case: Path, config: LmConfig) -> list[Example]:
    """Upstream's padded batch as examples."""
    rows = [row[:, : int((row != -1).any(0).sum())] for row in read_tensors(case, "inputs")["input_ids"]]
    return [Example(str(number), row, labels_of(row, config)) for number, row in enumerate(rows)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_states_and_logits(case: Path) -> None:
    model = network(case, read_json(case / "config.json")["moshi_lm_kwargs"])
    recorded = read_tensors(case, "outputs")
    for number, example in enumerate(batch_of(case, model.config)):
        with torch.no_grad():
            hidden = model.frames(example.tokens, Segments([example.frames], CPU))
            states = model.depth_states(hidden[:-1], example.tokens[: model.config.dep_q, 1:])
            logits = model.linears(states).transpose(0, 1)
        assert_close(hidden, recorded["tempformer_out"][number, : example.frames], LOGITS, "tempformer_out")
        text = recorded["text_logits"][number, : example.frames]
        assert_close(model.text_logits(hidden).detach(), text.view(example.frames, -1), LOGITS, "text_logits")
        assert_close(logits, recorded["audio_logits"][number, : example.frames - 1], LOGITS, "audio_logits")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_losses_and_gradients(case: Path) -> None:
    model = network(case, read_json(case / "config.json")["moshi_lm_kwargs"])
    batch = pack(batch_of(case, model.config))
    streams = {
        "words": "text_non_pad", "padding": "text_pad", "audio": "audio_total", "semantic": "audio_semantic",
        "acoustic": "audio_acoustic", "user_semantic": "audio_semantic_user", "user_acoustic": "audio_acoustic_user",
    }  # fmt: skip
    for number, recorded in enumerate(read_json(case / "outputs.json")["losses"]):
        options = Options(
            semantic_weight=recorded["semantic_loss_weight"],
            acoustic_weight=recorded["acoustic_loss_weight"],
            text_padding_weight=recorded["text_padding_loss_weight"],
        )
        total, means = losses(model, batch, options)
        assert float(total.detach()) == pytest.approx(recorded["log"]["loss/total"], abs=LOSSES)
        for name, mean in means.items():
            assert mean == pytest.approx(recorded["log"][f"loss/{streams[name]}"], abs=LOSSES), name
        if number == 0:
            total.backward()  # type: ignore[no-untyped-call]
            assert_gradients(model, read_tensors(case, "outputs"))
