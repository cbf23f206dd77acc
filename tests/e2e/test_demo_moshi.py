"""`voxtune demo moshi`, whole: the desk learns to answer and to take turns, and all that it promises is written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CITIES = 8
STREAMS = {"words", "padding", "semantic", "acoustic", "user_semantic", "user_acoustic"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moshi")
    command = [sys.executable, "-m", "voxtune", "demo", "moshi", "-o", "demo"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "demo"


@pytest.fixture(scope="module")
def summary(demo: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((demo / "summary.json").read_text())
    return found


def test_every_stream_is_learned(summary: dict[str, Any]) -> None:
    before, after = summary["loss_before"], summary["loss_after"]
    assert before.keys() == after.keys() == STREAMS
    assert all(5 < value < 7 for value in before.values())  # as many equally likely tokens as there are
    assert after["words"] < 1.0
    assert after["padding"] < 0.3
    assert max(after["semantic"], after["user_semantic"]) < 1.5
    assert max(after["acoustic"], after["user_acoustic"]) < 3.0
    assert summary["seconds"] > summary["training_seconds"] > 0


def test_most_travellers_get_the_right_answer(summary: dict[str, Any]) -> None:
    assert summary["prompts"] == CITIES
    assert summary["right_answers"] >= 3  # guessing gives one; rounding moves the number from machine to machine


def test_turns_are_taken_as_in_the_recordings(summary: dict[str, Any]) -> None:
    real, continued = summary["turn_taking"]["real"], summary["turn_taking"]["continued"]
    assert abs(continued["turns"] - real["turns"]) <= 0.75
    for share in ("only_a", "only_b", "both", "nobody"):
        assert abs(continued[share] - real[share]) <= 0.12, share


def test_continuations_are_written_and_can_be_heard(demo: Path) -> None:
    sounds = sorted((demo / "continuations").glob("*.wav"))
    assert len(sounds) == CITIES
    for path in sounds:
        about = json.loads((path.parent / "about" / f"{path.stem}.json").read_text())
        with wave.open(str(path)) as file:
            assert (file.getnchannels(), file.getframerate()) == (2, 24000)
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2) / 2**15
        tokens = np.load(path.with_suffix(".npy"), allow_pickle=False)
        begins = round(about["prompt_seconds"] * 24000)
        assert len(samples) - begins == tokens.shape[1] * 1920
        assert tokens.shape[0] == 17
        # Both speak after the prompt: the desk its answer, the traveller thanks.
        assert (np.sqrt(np.square(samples[begins:]).mean(0)) > [0.02, 0.005]).all(), path.name
        assert len(about["text"].split()) >= 5, path.name


def test_the_page_holds_its_pictures_and_sounds(demo: Path) -> None:
    page = (demo / "report.html").read_text()
    assert len(re.findall(r'<audio [^>]*src="data:audio/ogg;base64,[A-Za-z0-9+/=]{10000,}"', page)) == 2 * CITIES
    assert page.count("<svg") == len(STREAMS) + CITIES
    assert page.count('class="prompt-end"') == CITIES
    assert page.count('class="speech"') > 8 * CITIES
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_the_export_is_verified_and_says_the_same(demo: Path, summary: dict[str, Any]) -> None:
    report = json.loads((demo / "export" / "export.json").read_text())
    assert report["target"] == "moshi.server"
    assert report["verification"]["largest_loss_difference"] == 0
    assert summary["exported_frames_equal"] == summary["exported_frames"] > 20
    config = json.loads((demo / "export" / "config.json").read_text())
    assert config["dep_q"] == 8  # the user's stream was learned and is left behind
