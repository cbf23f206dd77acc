"""Drawing from logits."""

from __future__ import annotations

import pytest
import torch

from voxtune.parts.sampling import Noise, Sampling, sample

CPU = torch.device("cpu")
LOGITS = torch.tensor([[2.0, 1.0, 0.0, -1.0, 3.0]])


def frequencies(sampling: Sampling, draws: int = 20000) -> torch.Tensor:
    """How often each token is drawn from LOGITS."""
    rows = LOGITS.expand(draws, -1)
    noise = torch.empty(draws, sampling.candidates(rows.shape[1])).exponential_(
        generator=torch.Generator().manual_seed(0)
    )
    return torch.bincount(sample(rows, sampling, noise), minlength=rows.shape[1]) / draws


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_come_as_often_as_their_probability(temperature: float) -> None:
    expected = torch.softmax(LOGITS[0] / temperature, -1)
    torch.testing.assert_close(frequencies(Sampling(temperature)), expected, atol=0.012, rtol=0)


def test_top_k_draws_from_the_likeliest() -> None:
    expected = torch.softmax(torch.where(LOGITS[0] >= 1, LOGITS[0], -torch.inf), -1)
    torch.testing.assert_close(frequencies(Sampling(1.0, top_k=3)), expected, atol=0.012, rtol=0)


def test_top_p_draws_from_the_fewest_that_hold_it_and_wins_over_top_k() -> None:
    expected = torch.softmax(torch.where(LOGITS[0] >= 2, LOGITS[0], -torch.inf), -1)
    found = frequencies(Sampling(1.0, top_k=4, top_p=0.7))
    torch.testing.assert_close(found, expected, atol=0.012, rtol=0)


def test_temperature_0_takes_the_likeliest_without_noise() -> None:
    sampling = Sampling(0, top_k=3)
    assert sampling.candidates(5) == 0
    assert sample(LOGITS, sampling, torch.empty(1, 0)).tolist() == [4]


def test_more_candidates_than_tokens_are_all_tokens() -> None:
    assert Sampling(1.0, top_k=250).candidates(5) == 5
    torch.testing.assert_close(frequencies(Sampling(1.0, top_k=250)), frequencies(Sampling(1.0)), atol=0.012, rtol=0)


def test_a_rows_noise_does_not_depend_on_its_neighbours() -> None:
    both, second = Noise([3, 7], CPU), Noise([7], CPU)
    for count in (4, 9):
        drawn = both.draw(count)
        assert drawn.shape == (2, count)
        assert torch.equal(drawn[1], second.draw(count)[0])
        assert not torch.equal(drawn[0], drawn[1])
        assert (drawn > 0).all()
