"""Upstream's own runtime loads what we write, every tensor of it, and hears the same."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import voxtune
from tests.helpers.fun_asr_nano_folder import random_state, write_folder
from voxtune.data.audio import load
from voxtune.data.sample import AudioPart, transcription
from voxtune.families import find
from voxtune.families.family import Settings
from voxtune.families.fun_asr_nano.checkpoint import load_folder
from voxtune.families.fun_asr_nano.config import Options
from voxtune.families.fun_asr_nano.model import FunAsrNano
from voxtune.families.fun_asr_nano.upstream_folder import write_folder as export
from voxtune.parts.lora import LoraSettings, inject_lora, merge_lora

pytestmark = pytest.mark.upstream

FAMILY = find("fun_asr_nano")
SCRIPT = Path(__file__).with_name("run_funasr.py")
SAMPLE_RATE = 16000
DEMO = Path(voxtune.__path__[0]) / "demo" / "fun_asr_nano" / "speech"

Upstream = Callable[[Path, list[Path]], list[str]]


@pytest.fixture
def upstream(funasr_python: Path, tmp_path: Path) -> Upstream:
    """Texts of audio files by upstream's `AutoModel`; fails when a tensor of the folder does not arrive in it."""

    def run(folder: Path, audio: list[Path]) -> list[str]:
        output = tmp_path / "upstream.json"
        command = [funasr_python, SCRIPT, folder, output, *audio]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        texts = json.loads(output.read_text(encoding="utf-8"))
        return [texts[str(path)] for path in audio]

    return run


def our_texts(model: FunAsrNano, audio: list[Path]) -> list[str]:
    layout = FAMILY.layout(model, Options(), "asr")
    texts = []
    for path in audio:
        part = AudioPart(path=str(path))
        sample = (transcription(path.stem, part), [load(part, SAMPLE_RATE)])
        texts += [output.text for output in FAMILY.generate(model, layout, [sample], Settings())]
    return texts


@pytest.fixture
def audio(tmp_path: Path) -> list[Path]:
    """Three recordings: noise that swells, tones, a very short one."""
    random = np.random.default_rng(0)
    time = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    waveforms = [
        random.normal(0, 0.2, len(time)) * np.sin(np.pi * time / 3),
        0.3 * np.sin(2 * np.pi * 200 * time * (1 + time)) + random.normal(0, 0.01, len(time)),
        random.normal(0, 0.1, 3000),
    ]
    paths = [tmp_path / f"{number}.wav" for number in range(len(waveforms))]
    for path, waveform in zip(paths, waveforms, strict=True):
        soundfile.write(path, waveform, SAMPLE_RATE)
    return paths


@pytest.mark.parametrize("kind", ["full", "without_ctc", "lora", "merged_lora"])
def test_random_model(kind: str, tmp_path: Path, audio: list[Path], upstream: Upstream) -> None:
    base = random_state(ctc=kind != "without_ctc", spread=0.5)
    model = load_folder(write_folder(tmp_path / "base", state=base))
    if "lora" in kind:
        names = [name for name, _ in model.named_modules() if name.endswith(("q_proj", "v_proj"))]
        inject_lora(model, names, LoraSettings(4, 8, 0.1))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
            elif parameter.requires_grad:
                parameter += 0.1 * torch.rand_like(parameter)
    model.eval()
    ours = our_texts(model, audio)
    assert len(set(ours)) == len(audio)
    assert ours != our_texts(load_folder(tmp_path / "base"), audio)
    if kind == "merged_lora":
        merge_lora(model)
    export(model, tmp_path / "out")
    assert upstream(tmp_path / "out", audio) == ours


def test_built_in_model_on_the_demos_speech(tmp_path: Path, upstream: Upstream) -> None:
    """Every fifth utterance of each test set, as WAV: upstream resamples by another method, there is nothing to
    resample here."""
    model = FAMILY.load("tiny", Options(), dtype=torch.float32)
    assert isinstance(model, FunAsrNano)
    recordings = [path for name in ("test_seen", "test_unseen") for path in sorted((DEMO / name).iterdir())[::5]]
    audio = []
    for recording in recordings:
        waveform = load(AudioPart(path=str(recording)), SAMPLE_RATE)
        audio.append(tmp_path / f"{recording.stem}.wav")
        soundfile.write(audio[-1], waveform.numpy(), SAMPLE_RATE)
    ours = our_texts(model, audio)
    assert len(set(ours)) > len(audio) // 2
    export(model, tmp_path / "out")
    assert upstream(tmp_path / "out", audio) == ours
