"""`voxtune encode`: the features that a run will read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from tests.conftest import TinyAsr
from voxtune.cli.main import app
from voxtune.errors import RecipeError
from voxtune.families.fun_asr_nano import FunAsrNanoFamily


@pytest.fixture
def recipe(tmp_path: Path, tiny_asr: TinyAsr, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe with three recordings; its model is the random tiny one."""
    monkeypatch.setattr(FunAsrNanoFamily, "load", lambda *_, **__: tiny_asr.model)
    monkeypatch.setattr(FunAsrNanoFamily, "layout", lambda *_: tiny_asr.layout)
    lines = {"train": "", "validation": ""}
    for number, part in enumerate(("train", "train", "validation")):
        noise = np.random.default_rng(number).uniform(-0.5, 0.5, 16000).astype(np.float32)
        soundfile.write(tmp_path / f"{number}.wav", noise, 16000)
        lines[part] += f'{{"audio": "{number}.wav", "text": "text {number}"}}\n'
    for part, content in lines.items():
        (tmp_path / f"{part}.jsonl").write_text(content)
    path = tmp_path / "my.yaml"
    path.write_text(
        f"""
model: {{family: fun_asr_nano, source: tiny}}
data:
  train: {tmp_path}/train.jsonl
  validation: {tmp_path}/validation.jsonl
  workers: 0
  feature_cache: {tmp_path}/features
tune: {{parts: [llm]}}
train: {{precision: fp32}}
"""
    )
    return path


def test_encodes_training_and_validation_data_once(recipe: Path) -> None:
    first = CliRunner().invoke(app, ["encode", str(recipe)], catch_exceptions=False)
    assert first.exit_code == 0
    assert "audio_adaptor is frozen" in first.output
    assert "3 recordings encoded" in first.output
    assert len(list(recipe.parent.glob("features/*/*/*.safetensors"))) == 3
    again = CliRunner().invoke(app, ["encode", str(recipe)], catch_exceptions=False)
    assert "0 recordings encoded" in again.output and "3 were there" in again.output


def test_overrides_choose_the_stage(recipe: Path) -> None:
    result = CliRunner().invoke(app, ["encode", str(recipe), "tune.parts=[audio_adaptor]"], catch_exceptions=False)
    assert "audio_encoder is frozen" in result.output


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("tune.parts=[audio_encoder]", "nothing can be encoded ahead"),
        ("data.feature_cache_gb=0", "feature_cache_gb = 0"),
    ],
)
def test_refuses_when_nothing_can_be_encoded(recipe: Path, override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        CliRunner().invoke(app, ["encode", str(recipe), override], catch_exceptions=False)
    assert not (recipe.parent / "features").exists()
