"""Mimi on random weights: pieces, batches, causality, gradients, and what it refuses."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from voxtune.errors import VoxtuneError
from voxtune.parts.mimi import PUBLISHED, Mimi, MimiConfig

WIDTH = 16
CONTEXT = 7
TINY = MimiConfig(
    sample_rate=1200,
    channels=1,
    frame_rate=25.0,
    seanet=dataclasses.replace(
        PUBLISHED.seanet, dimension=WIDTH, n_filters=4, ratios=(3, 4, 2), n_residual_layers=2, compress=2
    ),
    quantizer=dataclasses.replace(
        PUBLISHED.quantizer, dimension=8, n_q=5, bins=32, input_dimension=WIDTH, output_dimension=WIDTH
    ),
    transformer=dataclasses.replace(
        PUBLISHED.transformer,
        d_model=WIDTH,
        num_heads=2,
        num_layers=2,
        layer_scale=0.5,
        context=CONTEXT,
        dim_feedforward=32,
        input_dimension=WIDTH,
        output_dimensions=(WIDTH,),
    ),
    num_codebooks=4,
)
FRAMES = 23


@torch.no_grad()
def random_codec(config: MimiConfig = TINY, codebooks: int | None = None) -> Mimi:
    """Random weights, and tables of the latents of noise, so that all codes are used."""
    torch.manual_seed(3)
    codec = Mimi(config, codebooks).eval()
    latent = codec.encode_latent(noise(1, 1, 2 * config.quantizer.bins * codec.frame_size))
    for quantizer in (codec.quantizer.rvq_first, codec.quantizer.rvq_rest):
        rows = quantizer.input_proj(latent)[0].T[::2]
        for number in range(len(quantizer.vq["layers"])):
            quantizer.codebook(number).embedding_sum.copy_(rows)
            rows = rows.roll(1, 0) - rows
    return codec


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def codec() -> Mimi:
    return random_codec()


@pytest.mark.parametrize("pieces", [(1,) * FRAMES, (5, 1, 8, 9), (2, 21), (22, 1)])
def test_pieces_give_what_the_whole_gives(codec: Mimi, pieces: tuple[int, ...]) -> None:
    wave = noise(2, FRAMES * codec.frame_size)
    whole = torch.stack(codec.encode(list(wave)))
    assert whole.unique().numel() > 24
    encoder, decoder = codec.encoder_stream(2), codec.decoder_stream(2)
    codes = torch.cat([encoder.step(piece) for piece in wave.split([n * codec.frame_size for n in pieces], 1)], 2)
    assert torch.equal(codes, whole)
    decoded = torch.cat([decoder.step(piece) for piece in codes.split(list(pieces), 2)], 1)
    assert torch.allclose(decoded, torch.stack(codec.decode(list(codes))), atol=1e-5)


def test_long_signals_go_through_in_pieces(codec: Mimi, monkeypatch: pytest.MonkeyPatch) -> None:
    wave = noise(1, FRAMES * codec.frame_size)
    with torch.no_grad():
        latent = codec.encode_latent(wave[:, None])
        whole = codec.quantizer.encode(latent, codec.codebooks)
        decoded = codec.decode_latent(codec.quantizer.decode(whole))[:, 0]
    monkeypatch.setattr("voxtune.parts.mimi.codec.FRAMES_ON_CPU", 4)
    lengths: list[int] = []
    codec.encoder.register_forward_hook(lambda _, args, out: lengths.append(args[0].shape[1] // codec.frame_size))
    assert torch.equal(torch.stack(codec.encode(list(wave))), whole)
    assert lengths == [4, 4, 4, 4, 4, 3]
    assert torch.allclose(torch.stack(codec.decode(list(whole))), decoded, atol=1e-5)


def test_a_batch_gives_what_each_gives_alone(codec: Mimi) -> None:
    lengths = [1, 47, 48, 49, 500, 100, 48 * 90 + 1]
    waves = [noise(length) for length in lengths]
    together = codec.encode(waves)
    assert [codes.shape for codes in together] == [(4, -(-length // 48)) for length in lengths]
    assert all(torch.equal(codes, codec.encode([wave])[0]) for codes, wave in zip(together, waves, strict=True))
    decoded = codec.decode(together)
    for waveform, codes in zip(decoded, together, strict=True):
        assert waveform.shape == (codes.shape[1] * 48,)
        assert torch.allclose(waveform, codec.decode([codes])[0], atol=1e-5)
    assert codec.encode([]) == [] == codec.decode([])


def test_the_future_changes_nothing(codec: Mimi) -> None:
    wave = noise(FRAMES * codec.frame_size)
    changed = wave.clone()
    changed[10 * codec.frame_size :] = 0.3
    before, after = codec.encode([wave, changed])
    assert torch.equal(before[:, :10], after[:, :10])
    assert not torch.equal(before, after)
    a, b = codec.decode([before, after])
    assert torch.equal(a[: 10 * codec.frame_size], b[: 10 * codec.frame_size])


def test_attention_reaches_no_further_than_its_window() -> None:
    """Two layers of the encoder see 2 * (context - 1) steps, which the convolutions widen by a few."""
    codec = random_codec()
    wave = noise(1, 1, 40 * codec.frame_size)
    changed = wave.clone()
    changed[..., : codec.frame_size] += 1
    with torch.no_grad():
        difference = (codec.encode_latent(wave) - codec.encode_latent(changed)).abs().amax((0, 1))
    reached = difference.nonzero().max().item()
    assert CONTEXT - 1 <= reached < 2 * CONTEXT


def test_training_sees_the_same_numbers_and_every_weight() -> None:
    codec = random_codec()
    wave = noise(2, 1, FRAMES * codec.frame_size)
    with torch.no_grad():
        fast = codec.encode_latent(wave)
        fast_wave = codec.decode_latent(fast)
    latent = codec.encode_latent(wave)
    waveform = codec.decode_latent(latent)
    assert torch.allclose(latent, fast, atol=1e-5)
    assert torch.allclose(waveform, fast_wave, atol=1e-5)
    waveform.square().sum().backward()
    without = [name for name, p in codec.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == [
        f"quantizer.rvq_{half}.{side}_proj.weight" for half in ("first", "rest") for side in ("input", "output")
    ]


def test_fewer_codebooks_are_the_first_ones(codec: Mimi) -> None:
    wave = noise(5 * codec.frame_size)
    (codes,) = codec.encode([wave])
    (two,) = random_codec(codebooks=2).encode([wave])
    assert torch.equal(two, codes[:2])
    assert codec.decode([two])[0].shape == wave.shape
    assert not torch.equal(codec.decode([two])[0], codec.decode([codes])[0])


def test_frames_of_one_step_have_no_resampling() -> None:
    codec = random_codec(dataclasses.replace(TINY, frame_rate=50.0))
    assert codec.frame_size == 24
    assert not [name for name in codec.state_dict() if name.startswith(("downsample", "upsample"))]
    wave = noise(FRAMES * codec.frame_size)
    (codes,) = codec.encode([wave])
    assert codec.decode([codes])[0].shape == wave.shape


@pytest.mark.parametrize("codebooks", [0, 6])
def test_refuses_codebooks_that_it_has_not(codebooks: int) -> None:
    with pytest.raises(VoxtuneError, match=f"{codebooks} codebooks"):
        Mimi(TINY, codebooks)


def test_refuses_what_it_cannot_encode_or_decode(codec: Mimi) -> None:
    with pytest.raises(VoxtuneError, match=r"Waveform 1 .*\[0\]"):
        codec.encode([noise(10), noise(0)])
    with pytest.raises(VoxtuneError, match=r"\[2, 10\]"):
        codec.encode([noise(2, 10)])
    with pytest.raises(VoxtuneError, match=r"torch\.int16"):
        codec.encode([torch.zeros(10, dtype=torch.int16)])
    with pytest.raises(VoxtuneError, match="6 codebooks"):
        codec.decode([torch.zeros(6, 3, dtype=torch.int64)])
    with pytest.raises(VoxtuneError, match="-1 to 31"):
        codec.decode([torch.tensor([[-1, 31]])])
    with pytest.raises(VoxtuneError, match="0 to 32"):
        codec.decode([torch.tensor([[0, 32]])])
    with pytest.raises(VoxtuneError, match=r"Codes 1 .*\[2, 3\]"):
        codec.decode([torch.zeros(4, 3, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.int64)])
    with pytest.raises(VoxtuneError, match=r"\[1, 47\]"):
        codec.encoder_stream(1).step(noise(1, 47))
    with pytest.raises(VoxtuneError, match=r"\[2, 48\]"):
        codec.encoder_stream(1).step(noise(2, 48))
    with pytest.raises(VoxtuneError, match=r"\[1, 4, 0\]"):
        codec.decoder_stream(1).step(torch.zeros(1, 4, 0, dtype=torch.int64))
