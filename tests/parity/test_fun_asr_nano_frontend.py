"""Log-mel features, stacking, normalisation, channels and resampling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from torch import Tensor

from tests.parity.conftest import cases
from tests.parity.tensors import FAMILY, assert_close, read_json, read_tensors
from voxtune.data import audio
from voxtune.data.sample import AudioPart
from voxtune.parts.kaldi_frontend import Cmvn, FrontendConfig, features, log_mel, stack_frames
from voxtune.parts.resampling import resample_sinc

FEATURE_TOLERANCE = 5e-4
RESAMPLING_TOLERANCE = 1e-5
SILENCE = -15.942385
"""Natural logarithm of the smallest energy."""


def config_from(conf: dict[str, Any]) -> FrontendConfig:
    return FrontendConfig(
        sample_rate=conf["fs"],
        mel_bins=conf["n_mels"],
        frame_length_ms=conf["frame_length"],
        frame_shift_ms=conf["frame_shift"],
        window=conf["window"],
        stacked=conf["lfr_m"],
        stride=conf["lfr_n"],
    )


def utterances(folder: Path) -> dict[str, Tensor]:
    """Waveforms at the model's rate by name, channels averaged."""
    inputs = read_tensors(folder, "inputs")
    return {name: w.mean(0) if w.dim() == 2 else w for name, w in inputs.items() if not name.startswith("wav_")}


@pytest.mark.parametrize("folder", cases(FAMILY, "frontend"), ids=lambda folder: folder.name)
class TestFrontend:
    def test_features(self, folder: Path) -> None:
        config, outputs = (
            config_from(read_json(folder / "config.json")["frontend_conf"]),
            read_tensors(folder, "outputs"),
        )
        for name, waveform in utterances(folder).items():
            rows = features(waveform, config)
            assert len(rows) == config.rows(len(waveform)), f"{name}: the predicted number of rows"
            assert_close(rows, outputs[f"{name}.lfr"], FEATURE_TOLERANCE, f"{name}.lfr")
            if f"{name}.fbank" in outputs:
                frames = log_mel(waveform, config)
                assert len(frames) == config.log_mel_frames(len(waveform))
                assert_close(frames, outputs[f"{name}.fbank"], FEATURE_TOLERANCE, f"{name}.fbank")
            if f"{name}.len" in outputs:
                assert outputs[f"{name}.len"].tolist() == [len(rows)]

    def test_normalisation(self, folder: Path) -> None:
        config = config_from(read_json(folder / "config.json")["frontend_conf_cmvn"])
        cmvn, outputs = Cmvn.read(folder / "am.mvn"), read_tensors(folder, "outputs")
        checked = [name for name in utterances(folder) if f"{name}.cmvn_lfr" in outputs]
        assert checked
        for name in checked:
            rows = features(utterances(folder)[name], config, cmvn)
            assert_close(rows, outputs[f"{name}.cmvn_lfr"], FEATURE_TOLERANCE, f"{name}.cmvn_lfr")

    def test_batch_is_features_then_padding(self, folder: Path) -> None:
        config, outputs = (
            config_from(read_json(folder / "config.json")["frontend_conf"]),
            read_tensors(folder, "outputs"),
        )
        rows = [features(utterances(folder)[name], config) for name in ("utt_a", "utt_b")]
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        assert_close(padded, outputs["batch_ab.feats"], FEATURE_TOLERANCE, "batch_ab.feats")

    def test_digital_silence(self, folder: Path) -> None:
        config = config_from(read_json(folder / "config.json")["frontend_conf"])
        assert torch.allclose(log_mel(torch.zeros(1600), config), torch.tensor(SILENCE), atol=1e-5)

    def test_stacking_table(self, folder: Path) -> None:
        config = config_from(read_json(folder / "config.json")["frontend_conf"])
        for length, slots in read_json(folder / "outputs.json")["lfr_frame_index_table"].items():
            rows = stack_frames(torch.arange(int(length), dtype=torch.float32)[:, None], config)
            assert rows.int().tolist() == slots, f"{length} frames"

    def test_resampling(self, folder: Path, tmp_path: Path) -> None:
        inputs, outputs = read_tensors(folder, "inputs"), read_tensors(folder, "outputs")
        rates = [int(name.removeprefix("wav_")) for name in inputs if name.startswith("wav_")]
        assert rates
        for rate in rates:
            waveform, expected = inputs[f"wav_{rate}"], outputs[f"resampled_{rate}_to_16000"]
            assert_close(resample_sinc(waveform, rate, 16000), expected, RESAMPLING_TOLERANCE, f"{rate} Hz")
            file = tmp_path / f"{rate}.wav"
            soundfile.write(file, waveform.numpy(), rate, subtype="FLOAT")
            loaded = audio.load(AudioPart(path=str(file)), 16000, "sinc")
            assert_close(loaded, expected, RESAMPLING_TOLERANCE, f"a file of {rate} Hz")

    def test_channels_are_averaged(self, folder: Path, tmp_path: Path) -> None:
        stereo = read_tensors(folder, "inputs")["stereo"]
        config = config_from(read_json(folder / "config.json")["frontend_conf"])
        file = tmp_path / "stereo.wav"
        soundfile.write(file, stereo.T.numpy(), config.sample_rate, subtype="FLOAT")
        rows = features(audio.load(AudioPart(path=str(file)), config.sample_rate), config)
        assert_close(rows, read_tensors(folder, "outputs")["stereo.lfr"], FEATURE_TOLERANCE, "stereo.lfr")
