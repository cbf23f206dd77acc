"""Rows that go on: what the cache keeps is what computing anew gives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.families.moshi.sizes import BOTH, CONFIG, random_tokens, small_moshi
from tests.helpers.moshi_folder import with_lora
from voxtune.families.moshi.config import LmConfig
from voxtune.families.moshi.delays import delayed
from voxtune.families.moshi.frames import UNKNOWN, FrameSampling, continue_rows
from voxtune.families.moshi.model import Moshi
from voxtune.parts.attention import Segments
from voxtune.parts.lora import LoraSettings, merge_lora
from voxtune.parts.sampling import Noise, Sampling

CPU = torch.device("cpu")
GREEDY = FrameSampling(Sampling(0), Sampling(0))
DRAWN = FrameSampling(Sampling(0.7, 20), Sampling(0.9, 12))
GROUPED = replace(BOTH, kv_repeat=2, num_heads=4, depformer_num_heads=4, depformer_kv_repeat=2)
NARROW = replace(BOTH, depformer_low_rank_embeddings=8, depformer_norm="rms_norm_f32")


def prompts(config: LmConfig, columns: int, count: int = 2) -> Tensor:
    return torch.stack([delayed(random_tokens(config, columns, seed), config, 3)[:, :columns] for seed in range(count)])


def partner_rows(config: LmConfig, frames: int, count: int = 2) -> Tensor:
    """Frames of which only what the model does not predict is given."""
    rows = torch.stack([random_tokens(config, frames, 100 + seed) for seed in range(count)])
    rows[:, : 1 + config.dep_q] = UNKNOWN
    return rows


def noise(*seeds: int) -> Noise:
    return Noise(seeds, CPU)


def assert_likeliest(model: Moshi, prompt: Tensor, rows: Tensor, given: Tensor) -> None:
    """Each token that was not given is the likeliest after those before it, all computed at once as in training."""
    predicted = 1 + model.config.dep_q
    assert torch.equal(rows[given != UNKNOWN], given[given != UNKNOWN])
    for row, out, own in zip(prompt, rows, given, strict=True):
        whole = torch.cat([row, out], 1)
        hidden = model.frames(whole, Segments([whole.shape[1]], CPU))[row.shape[1] - 1 : -1]
        codes = model.linears(model.depth_states(hidden, out[: predicted - 1])).argmax(-1)
        likeliest = torch.cat([model.text_logits(hidden).argmax(-1)[None], codes])
        drawn = own[:predicted] == UNKNOWN
        assert torch.equal(out[:predicted][drawn], likeliest[drawn])


@pytest.mark.parametrize("columns", [1, 9, 23])
@pytest.mark.parametrize("config", [CONFIG, BOTH, GROUPED, NARROW], ids=["one", "both", "grouped", "narrow"])
@torch.no_grad()
def test_cached_is_computed_anew(config: LmConfig, columns: int) -> None:
    """Within and beyond the window of 9 frames, for prompts and for what follows."""
    model = small_moshi(config)
    prompt, given = prompts(config, columns), partner_rows(config, 14)
    assert_likeliest(model, prompt, continue_rows(model, prompt, 14, GREEDY, noise(0, 1), given), given)


def test_alone_is_in_a_batch() -> None:
    model, prompt = small_moshi(BOTH), prompts(BOTH, 7, 3)
    together = continue_rows(model, prompt, 12, DRAWN, noise(5, 6, 7))
    for row, seed in enumerate((5, 6, 7)):
        assert torch.equal(continue_rows(model, prompt[row : row + 1], 12, DRAWN, noise(seed))[0], together[row])
    assert not torch.equal(continue_rows(model, prompt[:1], 12, DRAWN, noise(6))[0], together[0])


def test_text_and_codes_are_drawn_in_their_own_ways() -> None:
    model, prompt = small_moshi(BOTH), prompts(BOTH, 7, 1)
    greedy = continue_rows(model, prompt, 1, GREEDY, noise(0))
    found = [
        continue_rows(model, prompt, 1, FrameSampling(Sampling(0), Sampling(1.5)), noise(seed)) for seed in range(5)
    ]
    assert all(torch.equal(rows[:, 0], greedy[:, 0]) for rows in found)
    assert any(not torch.equal(rows[:, 1:], greedy[:, 1:]) for rows in found)


@torch.no_grad()
def test_given_tokens_are_kept_and_heard() -> None:
    model, prompt = small_moshi(BOTH), prompts(BOTH, 7)
    free = continue_rows(model, prompt, 6, GREEDY, noise(0, 1))
    given = torch.full_like(free, UNKNOWN)
    given[0, 0, 0] = (free[0, 0, 0] + 1) % 40
    given[1, 5, 2] = (free[1, 5, 2] + 1) % 16
    forced = continue_rows(model, prompt, 6, GREEDY, noise(0, 1), given)
    assert forced[0, 0, 0] == given[0, 0, 0]
    assert forced[1, 5, 2] == given[1, 5, 2]
    assert_likeliest(model, prompt, forced, given)
    assert torch.equal(forced[1, :, :2], free[1, :, :2])
    assert (given == UNKNOWN).sum() == given.numel() - 2  # what was given is not written into


def test_the_partner_of_a_model_for_one_has_to_be_given() -> None:
    with pytest.raises(ValueError, match="have to be given"):
        continue_rows(small_moshi(), prompts(CONFIG, 4), 3, GREEDY, noise(0, 1))


def test_adapters_beside_the_weights() -> None:
    """As folded into them, which is as computed in training."""
    model, prompt = with_lora(small_moshi(BOTH), LoraSettings(4, 8)), prompts(BOTH, 5)
    beside = continue_rows(model, prompt, 12, GREEDY, noise(0, 1))
    assert_likeliest(model, prompt, beside, torch.full_like(beside, UNKNOWN))
    merge_lora(model)
    assert torch.equal(continue_rows(model, prompt, 12, GREEDY, noise(0, 1)), beside)
    assert not torch.equal(continue_rows(small_moshi(BOTH), prompt, 12, GREEDY, noise(0, 1)), beside)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    model = small_moshi(BOTH).to(dtype)
    rows = continue_rows(model, prompts(BOTH, 12), 12, DRAWN, noise(0, 1))
    assert ((rows >= 0) & (rows < torch.tensor(BOTH.initial_tokens)[:, None])).all()
