"""The language model: walls between packed dialogues, weighted losses, adapters, what is never computed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.families.moshi.sizes import BOTH, CONFIG, random_example, small_moshi
from voxtune.data.example import Batch, muted, pack
from voxtune.families.moshi import FAMILY
from voxtune.families.moshi.config import LmConfig, Options
from voxtune.families.moshi.model import NO_TOKEN, Moshi
from voxtune.parts import cross_entropy
from voxtune.parts.attention import Segments
from voxtune.parts.lora import lora_layers, merge_lora
from voxtune.recipe import LoraSection, TuneSection
from voxtune.training import tuning

LENGTHS = (5, 23, 11, 1)
CONVENTIONS = ["jmoshi", "kyutai"]


def total(model: Moshi, batch: Batch) -> Tensor:
    sums, counts = model(batch), model.label_counts(batch)
    terms = [weight * sums[name] / (counts[name] or 1) for name, weight in model.stream_weights.items()]
    return torch.stack(terms).sum()


@pytest.mark.parametrize("config", [CONFIG, BOTH], ids=["main", "both"])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_packed_equals_alone(config: LmConfig, convention: str) -> None:
    model = small_moshi(config, Options(convention=convention))
    examples = [random_example(config, frames, seed) for seed, frames in enumerate(LENGTHS)]
    with torch.no_grad():
        together, alone = model(pack(examples)), [model(pack([example])) for example in examples]
    for name in model.stream_weights:
        assert float(together[name]) == pytest.approx(sum(float(one[name]) for one in alone), rel=1e-5), name
    counts = model.label_counts(pack(examples))
    each = [model.label_counts(pack([example])) for example in examples]
    assert all(counts[name] == sum(one[name] for one in each) for name in counts)


def test_a_neighbour_changes_nothing() -> None:
    model = small_moshi()
    a, b = random_example(CONFIG, 20, 0), random_example(CONFIG, 15, 1)
    changed = replace(b, tokens=b.tokens.flip(1))
    with torch.no_grad():
        first, second = (
            model.frames(batch.tokens, Segments(batch.lengths, torch.device("cpu")))
            for batch in (pack([a, b]), pack([a, changed]))
        )
    assert torch.equal(first[: a.frames], second[: a.frames])
    assert not torch.allclose(first[a.frames :], second[a.frames :])


def test_gradients_of_a_pack_are_those_of_its_dialogues() -> None:
    model = small_moshi(BOTH)
    examples = [random_example(BOTH, frames, seed) for seed, frames in enumerate(LENGTHS)]
    counts = model.label_counts(pack(examples))

    def gradients(batches: list[Batch]) -> dict[str, Tensor]:
        model.zero_grad()
        for batch in batches:
            sums = model(batch)
            terms = [weight * sums[name] / counts[name] for name, weight in model.stream_weights.items()]
            torch.stack(terms).sum().backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    together, one_by_one = gradients([pack(examples)]), gradients([pack([example]) for example in examples])
    assert together.keys() == one_by_one.keys() == dict(model.named_parameters()).keys()
    for name, gradient in together.items():
        assert torch.allclose(gradient, one_by_one[name], rtol=1e-4, atol=1e-6), name


def test_the_window_is_honoured() -> None:
    model = small_moshi()
    layers, window = CONFIG.num_layers, CONFIG.context
    reach = layers * (window - 1)
    example = random_example(CONFIG, 40, 0)
    early = example.tokens.clone()
    early[1:, 1] = (early[1:, 1] + 1) % CONFIG.card
    segments = Segments([example.frames], torch.device("cpu"))
    with torch.no_grad():
        a, b = model.frames(example.tokens, segments), model.frames(early, segments)
    assert torch.equal(a[2 + reach :], b[2 + reach :])
    assert not torch.equal(a[1 + reach], b[1 + reach])


def test_what_is_only_measured_has_no_gradient() -> None:
    model = small_moshi(BOTH)
    sums = model(pack([random_example(BOTH, 12, 0)]))
    for name, weight in model.stream_weights.items():
        assert sums[name].requires_grad == (weight > 0), name
    assert {"semantic", "acoustic", "user_semantic", "user_acoustic"} <= sums.keys()


def test_a_batch_without_labels_reaches_every_parameter_with_zeros() -> None:
    model = small_moshi()
    batch = muted(pack([random_example(CONFIG, 12, 0)]))
    assert not any(model.label_counts(batch).values())
    total(model, batch).backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert not parameter.grad.any(), name


def test_no_token_adds_nothing() -> None:
    model = small_moshi()
    tokens = random_example(CONFIG, 6, 0).tokens
    tokens[3, 2] = NO_TOKEN
    with torch.no_grad():
        before = model.embed(tokens)[2]
        model.emb.weight[2] += 1
        assert torch.equal(model.embed(tokens)[2], before)
        assert not torch.equal(model.embed(tokens.clamp(min=0))[2], before)


def test_logits_in_chunks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_moshi(BOTH)
    batch = pack([random_example(BOTH, 30, 0)])

    def run() -> tuple[float, dict[str, Tensor]]:
        model.zero_grad()
        loss = total(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach()), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    whole = run()
    monkeypatch.setattr(cross_entropy, "LOGITS_AT_ONCE", 700)
    chunked = run()
    assert chunked[0] == pytest.approx(whole[0], rel=1e-6)
    assert all(torch.allclose(chunked[1][name], whole[1][name], rtol=1e-4, atol=1e-7) for name in whole[1])


def test_activation_checkpointing_changes_nothing() -> None:
    model = small_moshi(BOTH)
    batch = pack([random_example(BOTH, 14, 0)])
    plain = total(model, batch)
    model.transformer.activation_checkpointing = model.depformer.activation_checkpointing = True
    model.train()
    assert torch.equal(total(model, batch), plain)


def lora_model(config: LmConfig = BOTH) -> Moshi:
    model = small_moshi(config)
    tuning.apply(model, FAMILY, TuneSection(method="lora", parts=[], lora=LoraSection(r=4, alpha=8, dropout=0)), 1e-3)
    return model


def test_adapters_stand_beside_every_linear_layer_and_start_without_effect() -> None:
    plain, adapted = small_moshi(BOTH), lora_model()
    batch = pack([random_example(BOTH, 12, 0)])
    with torch.no_grad():
        assert torch.allclose(total(adapted, batch), total(plain, batch), rtol=1e-6)
    matrices = {n for n, m in plain.named_modules() if hasattr(m, "in_features")}
    assert lora_layers(adapted).keys() == matrices
    total(adapted, batch).backward()  # type: ignore[no-untyped-call]
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    reached = {n for n, p in adapted.named_parameters() if "lora_B" in n and p.grad is not None and p.grad.any()}
    assert reached == {name for name in trained if "lora_B" in name}


def test_merged_adapters_give_the_same() -> None:
    model = lora_model()
    random = torch.Generator().manual_seed(1)
    for layer in lora_layers(model).values():
        weight = layer.lora_B["default"].weight
        weight.data = 0.1 * torch.randn(weight.shape, generator=random)
    batch = pack([random_example(BOTH, 12, 0)])
    with torch.no_grad():
        beside = total(model, batch)
        merge_lora(model)
        merged = total(model, batch)
    assert not lora_layers(model)
    assert torch.allclose(beside, merged, rtol=1e-5)
    assert not torch.allclose(beside, total(small_moshi(BOTH), batch), rtol=1e-3)


def test_a_step_alone_is_a_step_of_all() -> None:
    model = lora_model(CONFIG)
    layer = model.depformer_in
    states = torch.randn(3, CONFIG.dim)
    with torch.no_grad():
        together = layer(states)
        for step in range(CONFIG.dep_q):
            assert torch.allclose(layer.at(step, states), together[step], atol=1e-6)
            assert torch.allclose(layer(states.expand(CONFIG.dep_q, -1, -1))[step], together[step], atol=1e-6)
