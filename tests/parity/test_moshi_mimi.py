"""The Mimi codec: codes, latents, waveforms, every stage, and frame by frame."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.parity.conftest import cases
from tests.parity.tensors import assert_close, read_json, read_tensors
from voxtune.parts.mimi import Mimi, MimiConfig
from voxtune.parts.mimi.weights import published_names

LATENT, WAVEFORM = 2e-5, 5e-5


def build(folder: Path, context: int | None = None) -> Mimi:
    config = MimiConfig.from_dict(read_json(folder / "config.json")["mimi"])
    if context is not None:
        config = dataclasses.replace(config, transformer=dataclasses.replace(config.transformer, context=context))
    codec = Mimi(config)
    codec.load_state_dict(published_names(read_tensors(folder, "weights")))
    return codec.eval()


def waveforms(folder: Path) -> dict[str, Tensor]:
    """[batch, samples] by length."""
    inputs = read_tensors(folder, "inputs")
    found = {name.removeprefix("wav_"): wave[:, 0] for name, wave in inputs.items() if name.startswith("wav_")}
    assert found
    return found


def whole_frames(codec: Mimi, wave: Tensor) -> Tensor:
    return F.pad(wave, (0, -wave.shape[1] % codec.frame_size))


def stacked(rows: list[Tensor]) -> Tensor:
    return torch.stack(rows)


@torch.no_grad()
def latent_of(codec: Mimi, wave: Tensor) -> Tensor:
    return codec.encode_latent(whole_frames(codec, wave)[:, None])


@pytest.mark.parametrize("folder", cases("moshi", "mimi"), ids=lambda folder: folder.name)
class TestMimi:
    def test_sizes(self, folder: Path) -> None:
        codec, config = build(folder), read_json(folder / "config.json")
        assert codec.frame_size == config["frame_size"]
        assert codec.sample_rate == config["mimi"]["sample_rate"]
        assert codec.frame_rate == config["mimi"]["frame_rate"]
        assert codec.codebooks == config["mimi"]["num_codebooks"]

    def test_encode(self, folder: Path) -> None:
        codec, outputs = build(folder), read_tensors(folder, "outputs")
        for name, wave in waveforms(folder).items():
            assert_close(latent_of(codec, wave), outputs[f"latent_{name}"], LATENT, f"latent_{name}")
            assert torch.equal(stacked(codec.encode(list(wave))), outputs[f"codes_{name}"]), name

    def test_all_waveforms_at_once(self, folder: Path) -> None:
        codec, outputs = build(folder), read_tensors(folder, "outputs")
        waves = waveforms(folder)
        codes = codec.encode([row for wave in waves.values() for row in wave])
        theirs = [row for name in waves for row in outputs[f"codes_{name}"]]
        assert all(torch.equal(ours, expected) for ours, expected in zip(codes, theirs, strict=True))

    def test_decode(self, folder: Path) -> None:
        codec, outputs = build(folder), read_tensors(folder, "outputs")
        for name in waveforms(folder):
            decoded = stacked(codec.decode(list(outputs[f"codes_{name}"])))
            assert_close(decoded, outputs[f"decoded_{name}"][:, 0], WAVEFORM, f"decoded_{name}")

    def test_stages(self, folder: Path) -> None:
        codec, outputs = build(folder), read_tensors(folder, "outputs")
        seen: dict[str, Tensor] = {}
        stages = {
            "stage_seanet_encoder": codec.encoder,
            "stage_encoder_transformer": codec.encoder_transformer,
            "stage_upsampled": codec.upsample["convtr"],
            "stage_decoder_transformer": codec.decoder_transformer,
        }
        for name, module in stages.items():
            module.register_forward_hook(lambda _, args, out, name=name: seen.__setitem__(name, out.transpose(1, 2)))
        padded = [whole_frames(codec, wave) for wave in waveforms(folder).values()]
        theirs = outputs["stage_padded_wav"][:, 0]
        wave = next(wave for wave in padded if wave.shape == theirs.shape and torch.equal(wave, theirs))
        codes = stacked(codec.encode(list(wave)))
        with torch.no_grad():
            codec.encode_latent(wave[:, None])
            seen["stage_quantized"] = codec.quantizer.decode(codes)
            codec.decode_latent(seen["stage_quantized"])
        for name, ours in seen.items():
            assert_close(ours, outputs[name], LATENT, name)

    def test_all_codebooks(self, folder: Path) -> None:
        codec, outputs = build(folder), read_tensors(folder, "outputs")
        everything = Mimi(codec.config, codebooks=codec.config.quantizer.n_q)
        everything.load_state_dict(codec.state_dict())
        codes = stacked(everything.encode(list(outputs["stage_padded_wav"][:, 0])))
        assert torch.equal(codes, outputs["stage_codes_all"])
        decoded = stacked(codec.decode(list(codes)))
        assert_close(decoded, outputs["decoded_all_codebooks"][:, 0], WAVEFORM, "decoded_all_codebooks")

    def test_tables(self, folder: Path) -> None:
        codec, outputs = build(folder), read_tensors(folder, "outputs")
        for name, quantizer in {"first": codec.quantizer.rvq_first, "rest": codec.quantizer.rvq_rest}.items():
            torch.testing.assert_close(quantizer.codebook(0).table, outputs[f"codebook_{name}0"], rtol=1e-6, atol=0)

    def test_frame_by_frame(self, folder: Path) -> None:
        outputs = read_tensors(folder, "outputs")
        names = [name for name in outputs if re.fullmatch(r"context\d+_codes", name)]
        assert names
        for name in names:
            codec = build(folder, int(name.removeprefix("context").removesuffix("_codes")))
            theirs, size = outputs[name], codec.frame_size
            shape = (theirs.shape[0], theirs.shape[2])
            fitting = [wave for wave in waveforms(folder).values() if (len(wave), wave.shape[1] // size) == shape]
            wave = fitting[0][:, : shape[1] * size]
            encoder, decoder = codec.encoder_stream(shape[0]), codec.decoder_stream(shape[0])
            codes = torch.cat([encoder.step(frame) for frame in wave.split(size, 1)], 2)
            assert torch.equal(codes, theirs), name
            assert torch.equal(stacked(codec.encode(list(wave))), theirs), name
            decoded = torch.cat([decoder.step(frame) for frame in theirs.split(1, 2)], 1)
            assert_close(decoded, outputs[name.replace("codes", "decoded")][:, 0], WAVEFORM, name)

    def test_frame_by_frame_beyond_the_window(self, folder: Path) -> None:
        """Upstream's own streaming loses keys there; ours is held to what upstream gives for the whole."""
        codec, outputs = build(folder), read_tensors(folder, "outputs")
        for name, wave in waveforms(folder).items():
            encoder, decoder = codec.encoder_stream(len(wave)), codec.decoder_stream(len(wave))
            frames = whole_frames(codec, wave).split(codec.frame_size, 1)
            codes = torch.cat([encoder.step(frame) for frame in frames], 2)
            assert torch.equal(codes, outputs[f"codes_{name}"]), name
            decoded = torch.cat([decoder.step(frame) for frame in codes.split(1, 2)], 1)
            assert_close(decoded, outputs[f"decoded_{name}"][:, 0], WAVEFORM, name)

    def test_moshi_010_differs_in_a_partial_last_frame_alone(self, folder: Path) -> None:
        codec, older = build(folder), read_tensors(folder, "outputs_moshi010")
        differing = read_json(folder / "meta.json")["frames_whose_codes_differ_between_moshi_0_1_0_and_0_2_13"]
        for name, wave in waveforms(folder).items():
            codes = stacked(codec.encode(list(wave)))
            different = (codes != older[f"codes_{name}_moshi010"]).any(0).any(0).nonzero().flatten()
            assert different.tolist() == differing[name]
