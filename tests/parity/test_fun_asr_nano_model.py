"""The whole network: encoder to logits, loss, gradients, and what each choice of parts trains."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.parity.conftest import cases
from tests.parity.model_case import collated_batch, network
from tests.parity.tensors import (
    FAMILY,
    assert_close,
    assert_gradient,
    largest_gradient,
    read_json,
    read_tensors,
    segments,
    valid,
)
from voxtune.data.example import IGNORED
from voxtune.errors import RecipeError
from voxtune.families import find
from voxtune.parts.packed_llm import packed_hidden_states
from voxtune.recipe import TuneSection
from voxtune.training.tuning import apply, set_train_mode

LOSS_TOLERANCE = 2e-5
LOGIT_TOLERANCE = 5e-4
FEATURE_TOLERANCE = 1e-4
GRADIENT_TOLERANCE = 1e-3
SWITCHES = {"encoder": "audio_encoder", "adaptor": "audio_adaptor", "llm": "llm"}

each_case = pytest.mark.parametrize("case", cases(FAMILY, "model"), ids=lambda path: path.name)


def attended(case: Path, values: Tensor) -> Tensor:
    """Padded values [batch, longest, ...] of the attended positions, laid end to end."""
    mask = read_tensors(case, "outputs")["attention_mask"]
    return valid(values, [int(row.sum()) for row in mask])


@each_case
@torch.no_grad()
def test_encoder_to_logits(case: Path) -> None:
    recorded = read_tensors(case, "outputs")
    model = network(case).eval()
    batch = collated_batch(case.parent / "prompt")

    encoder_out, encoder_segments = model.encode(batch)
    assert encoder_out is not None and encoder_segments is not None
    assert encoder_segments.lengths == recorded["encoder_out_lens"].tolist()
    expected = valid(recorded["encoder_out"], encoder_segments.lengths)
    assert_close(encoder_out, expected, FEATURE_TOLERANCE, "encoder_out")

    adaptor_out = torch.cat(model.adaptor_frames(list(encoder_out.split(encoder_segments.lengths))))
    expected = valid(recorded["adaptor_out"], recorded["adaptor_out_lens"].tolist())
    assert_close(adaptor_out, expected, FEATURE_TOLERANCE, "adaptor_out")

    embeddings = model.insert_audio(batch, encoder_out, encoder_segments)
    assert_close(embeddings, attended(case, recorded["inputs_embeds"]), FEATURE_TOLERANCE, "inputs_embeds")
    assert torch.equal(batch.labels[0], attended(case, recorded["labels"]))

    hidden = packed_hidden_states(model.llm, embeddings, segments(batch.lengths))
    logits = F.linear(hidden, model.llm.lm_head.weight)
    assert_close(logits, attended(case, recorded["logits"]), LOGIT_TOLERANCE, "logits")


@each_case
def test_loss_and_gradients(case: Path) -> None:
    recorded = read_tensors(case, "outputs")
    model = network(case).train()
    batch = collated_batch(case.parent / "prompt")

    counts = model.label_counts(batch)
    assert counts == {"text": int((recorded["labels"][:, 1:] != IGNORED).sum())}
    loss = model(batch)["text"] / counts["text"]
    assert_close(loss.detach(), recorded["loss"][0], LOSS_TOLERANCE, "loss")

    loss.backward()
    parameters = dict(model.named_parameters())
    scale = largest_gradient({name: value for name, value in recorded.items() if name.startswith("grad.")})
    gradients = [name for name in recorded if name.startswith("grad.")]
    assert gradients
    for name in gradients:
        ours = parameters[name.removeprefix("grad.")].grad
        assert_gradient(ours, recorded[name], GRADIENT_TOLERANCE, name, scale)
    without = [name for name, parameter in parameters.items() if parameter.grad is None]
    assert without == read_json(case / "outputs.json")["params_without_grad"]
    norm = torch.nn.utils.get_total_norm([p.grad.double() for p in parameters.values() if p.grad is not None])
    assert norm.item() == pytest.approx(recorded["grad_global_norm"].item(), rel=GRADIENT_TOLERANCE)


@each_case
def test_state_dict_has_upstreams_keys(case: Path) -> None:
    expected = {name: list(tensor.shape) for name, tensor in read_tensors(case, "weights").items()}
    assert {name: list(tensor.shape) for name, tensor in network(case).state_dict().items()} == expected


@each_case
def test_frozen_parts(case: Path) -> None:
    """The trained tensors are upstream's. Upstream's trainer puts frozen modules back into train mode, with their
    dropout active; the fact sheet says not to copy that: what is frozen stays in eval mode here."""
    family = find("fun_asr_nano")
    for name, recorded in read_json(case / "freeze.json").items():
        frozen = dict(switch.split("=") for switch in name.split(","))
        parts = [part for switch, part in SWITCHES.items() if frozen[switch] == "False"]
        model = network(case)
        if not parts:
            with pytest.raises(RecipeError, match="nothing would be trained"):
                apply(model, family, TuneSection(parts=parts), 1e-4)
            continue
        apply(model, family, TuneSection(parts=parts), 1e-4)
        trained = {key: p for key, p in model.named_parameters() if p.requires_grad}
        assert sorted({key.split(".")[0] for key in trained}) == recorded["prefixes"]
        assert len(trained) == recorded["trainable_tensors"]
        assert sum(p.numel() for p in trained.values()) == recorded["trainable_params"]
        model.train()
        set_train_mode(model)
        for part in SWITCHES.values():
            modules = list(model.get_submodule(part).modules())
            assert {module.training for module in modules} == {part in parts}, f"{name}: {part}"
