"""LoRA of kyutai's fine-tuner: its files, logits with and without adapters, losses, gradients, folding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.parity.conftest import cases
from tests.parity.moshi_case import GRADIENTS, LOGITS, LOSSES, losses
from tests.parity.tensors import CPU, assert_close, read_json, read_tensors
from voxtune.data.example import Batch, Example, pack
from voxtune.families import find
from voxtune.families.moshi.config import LmConfig, Options
from voxtune.families.moshi.delays import delayed, labels_of
from voxtune.families.moshi.folder_config import FolderConfig, lm_kwargs
from voxtune.families.moshi.lora_names import MATRIX, plain_name
from voxtune.families.moshi.model import Moshi
from voxtune.families.moshi.stored import Adapters, build, read_stored
from voxtune.families.moshi.tensor_names import from_ours, to_ours
from voxtune.parts.attention import Segments
from voxtune.parts.lora import merge_lora
from voxtune.recipe import LoraSection, TuneSection
from voxtune.training.tuning import apply

each_case = pytest.mark.parametrize("case", cases("moshi", "lora"), ids=lambda path: path.name)


def network(case: Path, folder: Path, kind: str) -> Moshi:
    """The case's base, alone or with adapters, or what upstream merged, from a folder as upstream writes it."""
    folder.mkdir()
    conf = read_json(case / "config.json")
    beside = {key: conf[key] for key in ("lora", "lora_rank", "lora_scaling")}
    if kind == "merged":
        (folder / "consolidated.safetensors").symlink_to(case / "merged.safetensors")
    else:
        (folder / "model.safetensors").symlink_to(case / "base.safetensors")
    if kind == "lora":
        (folder / "lora.safetensors").symlink_to(case / "lora.safetensors")
    config = FolderConfig(folder, conf["lm"], {} if kind == "base" else beside)
    stored = read_stored(folder, config)
    return build(to_ours(stored.modules, stored.config, torch.float32), stored.config, stored.adapters, folder)


def names_of_0_2(model: Moshi, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return from_ours({plain_name(name): tensor for name, tensor in tensors.items()}, model.config)


def batch_of(case: Path, config: LmConfig) -> Batch:
    """kyutai cuts what a delay pushes behind the end."""
    codes = read_tensors(case, "inputs")["codes"]
    rows = [delayed(one, config, config.existing_text_padding_id)[:, : codes.shape[2] + 1] for one in codes]
    return pack([Example(str(number), row, labels_of(row, config)) for number, row in enumerate(rows)])


@torch.no_grad()
def assert_logits(model: Moshi, case: Path, recorded: dict[str, Tensor], suffix: str) -> None:
    batch = batch_of(case, model.config)
    count = len(batch.lengths)
    hidden = model.frames(batch.tokens, Segments(batch.lengths, CPU)).unflatten(0, (count, -1))[:, :-1]
    assert_close(model.text_logits(hidden)[:, None], recorded[f"text_logits{suffix}"], LOGITS, f"text_logits{suffix}")
    predicted = batch.tokens[: model.config.dep_q].unflatten(1, (count, -1))[:, :, 1:].flatten(1)
    states = model.depth_states(hidden.flatten(0, 1), predicted)
    logits = model.linears(states).unflatten(1, hidden.shape[:2]).transpose(0, 1)
    for step, delay in enumerate(model.config.delays[1 : 1 + model.config.dep_q]):
        heard = recorded[f"logits{suffix}"][:, step, : logits.shape[2] - delay]
        assert_close(logits[:, step, delay:], heard, LOGITS, f"logits{suffix} of codebook {step}")


@each_case
@pytest.mark.parametrize(("kind", "suffix"), [("lora", ""), ("base", "_base"), ("merged", "_fused")])
def test_logits(case: Path, tmp_path: Path, kind: str, suffix: str) -> None:
    assert_logits(network(case, tmp_path / kind, kind), case, read_tensors(case, "outputs"), suffix)


@each_case
def test_folding(case: Path, tmp_path: Path) -> None:
    model = network(case, tmp_path / "lora", "lora")
    merge_lora(model)
    assert_logits(model, case, read_tensors(case, "outputs"), "_fused")
    ours, theirs = names_of_0_2(model, dict(model.state_dict())), read_tensors(case, "merged")
    assert {name: list(t.shape) for name, t in ours.items()} == read_json(case / "outputs.json")["merged_keys"]
    for name, tensor in theirs.items():
        assert_close(ours[name], tensor, 1e-6, name)


@each_case
def test_losses_and_gradients_of_adapters(case: Path, tmp_path: Path) -> None:
    model = network(case, tmp_path / "lora", "lora")
    recorded, expected = read_tensors(case, "outputs"), read_json(case / "outputs.json")
    options = Options(convention="kyutai", semantic_weight=100, text_padding_weight=0.5)
    total, means = losses(model, batch_of(case, model.config), options)
    assert means["text"] == pytest.approx(expected["text_loss"], abs=LOSSES)
    assert means["audio"] == pytest.approx(expected["audio_loss"], abs=LOSSES)
    total.backward()  # type: ignore[no-untyped-call]
    gradients = names_of_0_2(model, {name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    theirs = {name.removeprefix("grad."): t for name, t in recorded.items() if name.startswith("grad.")}
    assert {name for name in gradients if MATRIX.fullmatch(name)} == expected["lora_keys"].keys() >= theirs.keys()
    for name, gradient in theirs.items():
        assert_close(gradients[name], gradient, GRADIENTS * gradient.abs().max().item(), name)


@each_case
@pytest.mark.parametrize("embeddings", [False, True])
def test_what_a_recipe_trains(case: Path, tmp_path: Path, embeddings: bool) -> None:
    """Our LoRA goes where kyutai's does; with `ft_embed` (our part `embeddings`) the same tensors train whole."""
    model, conf = network(case, tmp_path / "base", "base"), read_json(case / "config.json")
    lora = LoraSection(r=conf["lora_rank"], alpha=conf["lora_rank"] * conf["lora_scaling"], dropout=0.0)
    parts = ["embeddings"] if embeddings else []
    apply(model, find("moshi"), TuneSection(method="lora", parts=parts, lora=lora), 1e-4)
    trained = names_of_0_2(model, {name: p for name, p in model.named_parameters() if p.requires_grad})
    expected = read_json(case / "outputs.json")
    adapters = {name: list(t.shape) for name, t in trained.items() if MATRIX.fullmatch(name)}
    assert adapters == expected["lora_keys"]
    assert trained.keys() - adapters.keys() == set(expected["lora_keys_with_ft_embed"] if embeddings else [])


@each_case
def test_adapters_round_trip(case: Path, tmp_path: Path) -> None:
    model = network(case, tmp_path / "lora", "lora")
    modules = names_of_0_2(model, dict(model.state_dict()))
    theirs = read_tensors(case, "lora")
    assert {name for name in modules if MATRIX.fullmatch(name)} == theirs.keys()
    assert all(torch.equal(modules[name], tensor) for name, tensor in theirs.items())


@each_case
def test_whole_embeddings_in_a_lora_file_replace_the_bases(case: Path, tmp_path: Path) -> None:
    """What `ft_embed` adds to lora.safetensors."""
    base = network(case, tmp_path / "base", "base")
    names = read_json(case / "outputs.json")["lora_keys_with_ft_embed"]
    modules = names_of_0_2(base, dict(base.state_dict()))
    trained = {name: modules[name] + 1 for name in names}
    network(case, tmp_path / "lora", "lora")
    (tmp_path / "lora" / "lora.safetensors").unlink()
    save_file(read_tensors(case, "lora") | trained, tmp_path / "lora" / "lora.safetensors")
    conf = read_json(case / "config.json")
    stored = read_stored(tmp_path / "lora", FolderConfig(tmp_path, lm_kwargs(base.config), conf))
    assert stored.adapters == Adapters(stored.adapters.modules, conf["lora_rank"], conf["lora_scaling"])
    assert all(torch.equal(stored.modules[name], tensor) for name, tensor in trained.items())
