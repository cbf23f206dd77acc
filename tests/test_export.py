"""From a run's checkpoint to upstream's folder, proved equal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import soundfile
import torch
import typer
from typer.testing import CliRunner

from tests.helpers.fun_asr_nano_folder import write_folder
from voxtune import export as stage
from voxtune.cli.export import export as command
from voxtune.data.audio import load
from voxtune.data.example import pack
from voxtune.data.manifest import read_samples
from voxtune.errors import CheckpointError, VoxtuneError
from voxtune.export import export
from voxtune.families import find
from voxtune.families.fun_asr_nano.checkpoint import load_folder
from voxtune.families.fun_asr_nano.model import FunAsrNano
from voxtune.files import sha256
from voxtune.recipe import parse_recipe
from voxtune.training import tuning
from voxtune.training.checkpoints import Checkpoints, Progress
from voxtune.training.optim import adamw
from voxtune.training.parallel import Parallel
from voxtune.training.run_folder import load_run, settle
from voxtune.training.step import Trainer

FULL = {"method": "full", "parts": ["audio_adaptor", "llm"]}
LORA = {"method": "lora", "parts": ["audio_adaptor", "llm"], "lora": {"r": 4, "alpha": 8, "dropout": 0.1}}


def write_data(folder: Path) -> Path:
    """Five recordings of noise with a sentence each."""
    random = np.random.default_rng(0)
    lines = []
    for number in range(5):
        soundfile.write(folder / f"{number}.wav", random.normal(0, 0.1, 16000 + 1000 * number), 16000)
        lines.append(json.dumps({"key": f"u{number}", "audio": f"{number}.wav", "text": f"sentence number {number}"}))
    path = folder / "data.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def write_run(folder: Path, tune: dict[str, Any], *, validation: bool = True) -> Path:
    """A run with a checkpoint after one step and one after three; the first was the better one."""
    source = write_folder(folder / "base")
    data = write_data(folder)
    recipe = parse_recipe(
        {
            "model": {"family": "fun_asr_nano", "source": str(source)},
            "data": {"train": str(data), "validation": [str(data)] if validation else []},
            "tune": tune,
            "train": {"output": str(folder / "run"), "precision": "fp32", "learning_rate": 0.01},
        },
        "test",
    )
    family = find("fun_asr_nano")
    model = family.load(str(source), recipe.model.options, dtype=torch.float32)
    layout = family.layout(model, recipe.model.options, "asr")
    batch = pack([layout.example(s, [load(p, 16000) for p in s.audio], None) for s in read_samples(data)])
    settle(recipe)
    groups = tuning.apply(model, family, recipe.tune, recipe.train.learning_rate)
    trainer = Trainer(model, adamw(groups, recipe.train), recipe.train, 10, Parallel())
    checkpoints = Checkpoints(recipe.train.output, 3)
    for step in (1, 2, 3):
        trainer.step(step, [batch])
        if step != 2:
            checkpoints.save(trainer, Progress(step, metrics={"loss": float(step)}, best_step=1, best_value=1.0))
    return recipe.train.output


def loaded(folder: Path) -> FunAsrNano:
    return load_folder(folder)


@pytest.mark.parametrize("tune", [FULL, LORA], ids=["full", "lora"])
def test_without_merge_nothing_differs(tmp_path: Path, tune: dict[str, Any]) -> None:
    run = write_run(tmp_path, tune)
    report = export(run, tmp_path / "out", verify=True)
    proof = report["verification"]
    assert (proof["largest_loss_difference"], proof["tolerance"]) == (0.0, 0.0)
    assert proof["samples"] == ["u0", "u1", "u2", "u3"]
    model = load_run(run).model
    written = loaded(tmp_path / "out").state_dict()
    assert proof["equal_tensors"] == len(written)
    assert all(torch.equal(tensor, written[name]) for name, tensor in model.state_dict().items())
    base = loaded(tmp_path / "base").state_dict()
    assert not torch.equal(written["audio_adaptor.linear1.weight"], base["audio_adaptor.linear1.weight"])


@pytest.mark.parametrize("kind", [{}, {"dora": True}, {"rslora": True}], ids=["lora", "dora", "rslora"])
def test_merge(tmp_path: Path, kind: dict[str, bool]) -> None:
    run = write_run(tmp_path, LORA | {"lora": {"r": 4, "alpha": 8, **kind}})
    report = export(run, tmp_path / "out", merge=True, verify=True)
    assert report["merged"] and report["verification"]["equal_tensors"] is None
    assert report["verification"]["largest_loss_difference"] <= 1e-5
    model = loaded(tmp_path / "out")
    assert model.state_dict().keys() == loaded(tmp_path / "base").state_dict().keys()
    trained = load_run(run).model
    assert isinstance(trained, FunAsrNano)
    tokens = torch.arange(30)[None]
    with torch.no_grad():
        assert (model.llm(tokens).logits - trained.llm(tokens).logits).abs().max() <= 1e-5
    base = loaded(tmp_path / "base").state_dict()
    q_proj = "llm.model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(model.state_dict()[q_proj], base[q_proj])


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_dtype(tmp_path: Path, dtype: Literal["bf16", "fp32"], merge: bool) -> None:
    run = write_run(tmp_path, LORA)
    report = export(run, tmp_path / "out", dtype=dtype, merge=merge, verify=True)
    assert report["dtype"] == dtype
    stored = torch.load(tmp_path / "out" / "model.pt", weights_only=True)["state_dict"]
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16 if dtype == "bf16" else torch.float32}
    written, trained = loaded(tmp_path / "out").state_dict(), load_run(run).model.state_dict()
    for name in ("audio_adaptor.linear1.weight", "audio_encoder.encoders0.0.feed_forward.w_1.weight"):
        expected = trained[name].bfloat16().float() if dtype == "bf16" else trained[name]
        assert torch.equal(written[name], expected)


def test_best_and_last(tmp_path: Path) -> None:
    run = write_run(tmp_path, FULL)
    assert export(run, tmp_path / "best")["checkpoint"] == {"which": "best", "step": 1, "metrics": {"loss": 1.0}}
    assert export(run, tmp_path / "last", checkpoint="last")["checkpoint"]["step"] == 3
    best, last = loaded(tmp_path / "best").state_dict(), loaded(tmp_path / "last").state_dict()
    assert not torch.equal(best["audio_adaptor.linear1.weight"], last["audio_adaptor.linear1.weight"])


def test_report(tmp_path: Path) -> None:
    report = export(write_run(tmp_path, FULL), tmp_path / "out")
    written = json.loads((tmp_path / "out/export.json").read_text())
    assert written == report and written["verification"] is None
    files = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert files == {*written["files"], "export.json"}
    for name, file in written["files"].items():
        assert sha256(tmp_path / "out" / name) == file["sha256"]
    assert written["versions"]["torch"] == torch.__version__
    assert str(tmp_path) not in json.dumps({key: value for key, value in written.items() if key != "source"})


def test_training_data_where_there_is_no_validation_data(tmp_path: Path) -> None:
    report = export(write_run(tmp_path, FULL, validation=False), tmp_path / "out", verify=True)
    assert len(report["verification"]["samples"]) == 4


def test_a_folder_that_differs_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path, FULL)
    family = load_run(run).family
    write = type(family).export

    def careless(self: Any, model: FunAsrNano, folder: Path, target: str, dtype: torch.dtype | None) -> None:
        with torch.no_grad():
            model.audio_adaptor.linear2.bias += 0.01
            write(self, model, folder, target, dtype)
            model.audio_adaptor.linear2.bias -= 0.01

    monkeypatch.setattr(type(family), "export", careless)
    with pytest.raises(CheckpointError, match="other losses than the run"):
        export(run, tmp_path / "out", verify=True)
    assert not (tmp_path / "out").exists()


def test_a_tensor_that_no_sample_reaches_is_compared_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path, FULL)
    family = load_run(run).family
    write = type(family).export

    def careless(self: Any, model: FunAsrNano, folder: Path, target: str, dtype: torch.dtype | None) -> None:
        assert model.ctc is not None
        with torch.no_grad():
            model.ctc.ctc_lo.bias += 1
            write(self, model, folder, target, dtype)
            model.ctc.ctc_lo.bias -= 1

    monkeypatch.setattr(type(family), "export", careless)
    with pytest.raises(CheckpointError, match=r"1 tensors changed in writing, first of all ctc\.ctc_lo\.bias"):
        export(run, tmp_path / "out", verify=True)


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path, LORA | {"lora": {"dora": True}})
    with pytest.raises(CheckpointError, match="--merge"):
        export(run, tmp_path / "out")
    with pytest.raises(CheckpointError, match="not the folder of a run"):
        export(tmp_path / "base", tmp_path / "out")
    with pytest.raises(VoxtuneError, match="exists already"):
        export(run, tmp_path / "base")

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(stage, "write_json", full)
    with pytest.raises(VoxtuneError, match="out cannot be written: No space left"):
        export(run, tmp_path / "out", merge=True)
    assert not (tmp_path / "out").exists()


def test_command(tmp_path: Path) -> None:
    run = write_run(tmp_path, LORA)
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, [str(run), "-o", str(tmp_path / "out"), "--merge", "--verify"])
    assert result.exit_code == 0, result.output
    assert "verified" in result.output
    assert json.loads((tmp_path / "out/export.json").read_text())["dtype"] is None
    result = CliRunner().invoke(app, [str(run), "-o", str(tmp_path / "half"), "--dtype", "bf16"])
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "half/export.json").read_text())["dtype"] == "bf16"
    assert json.loads((tmp_path / "out/export.json").read_text())["merged"] is True
    loaded(tmp_path / "out")
