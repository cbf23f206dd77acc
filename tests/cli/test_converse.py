"""`voxtune converse`: what it writes, and what it says when something is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner

from tests.helpers.dialogues import folder_of_dialogues, record_stereo
from tests.helpers.moshi_folder import copy_of_tiny
from voxtune.cli.converse import converse
from voxtune.errors import VoxtuneError

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(converse)
SHORT = ("--prompt-seconds", 0.8, "--seconds", 0.4)


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and messages; a VoxtuneError is raised as it is."""
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"CUDA_VISIBLE_DEVICES": ""})
    if isinstance(result.exception, VoxtuneError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.stdout == ""
    return result.exit_code, result.stderr


def files_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []


class TestDialogues:
    def test_a_folder(self, tmp_path: Path) -> None:
        prompts = folder_of_dialogues(tmp_path / "prompts", ["a", "b"])
        code, err = run("tiny", prompts, "-o", tmp_path / "out", *SHORT, "--batch-size", 1)
        assert (code, err) == (0, f"2 of 2 dialogues went on, in {tmp_path / 'out'}\n")
        files = [f"{name}.{end}" for name in "ab" for end in ("json", "npy", "wav")]
        assert files_in(tmp_path / "out") == sorted([*files, "about"])
        for name in "ab":
            sound = soundfile.info(tmp_path / "out" / f"{name}.wav")
            assert (sound.samplerate, sound.channels, sound.frames) == (24000, 2, 1.2 * 24000)
            tokens = np.load(tmp_path / "out" / f"{name}.npy", allow_pickle=False)
            assert (tokens.dtype, tokens.shape) == (np.int64, (17, 5))
            about = json.loads((tmp_path / "out" / "about" / f"{name}.json").read_text(encoding="utf-8"))
            assert (about["prompt_seconds"], about["seconds"], about["partner"]) == (0.8, 0.4, "recording")
            words = json.loads((tmp_path / "out" / f"{name}.json").read_text(encoding="utf-8"))
            assert words[0] == {"speaker": "A", "word": "hello", "start": 0.2, "end": 0.6}

    def test_a_continuation_goes_on(self, tmp_path: Path) -> None:
        prompts = folder_of_dialogues(tmp_path / "prompts", ["a"])
        run("tiny", prompts, "-o", tmp_path / "out", *SHORT)
        code, err = run("tiny", tmp_path / "out", "-o", tmp_path / "again", *SHORT, "--prompt-seconds", 1.2)
        assert (code, err) == (0, f"1 of 1 dialogues went on, in {tmp_path / 'again'}\n")

    def test_settings(self, tmp_path: Path) -> None:
        recording = record_stereo(tmp_path / "a.wav")
        greedy = ("--temperature", 0, "--text-temperature", 0)
        asked = {
            "drawn": (), "again": (), "seed": ("--seed", 1), "greedy": greedy, "greedy-seed": (*greedy, "--seed", 1),
            "k": ("--top-k", 1, "--text-top-k", 1), "b": ("--speaker", "B"),
        }  # fmt: skip
        found = {}
        for name, arguments in asked.items():
            run("tiny", recording, "-o", tmp_path / name, *SHORT, *arguments)
            found[name] = np.load(tmp_path / name / "a.npy").tolist()
        assert found["drawn"] == found["again"]
        assert found["greedy"] == found["greedy-seed"] == found["k"]
        assert found["drawn"] != found["seed"]
        assert found["drawn"] != found["greedy"]
        about = json.loads((tmp_path / "b" / "about" / "a.json").read_text(encoding="utf-8"))
        assert (about["left"], about["right"]) == ("B", "A")
        settings = json.loads((tmp_path / "k" / "about" / "a.json").read_text(encoding="utf-8"))["settings"]
        assert (settings["top_k"], settings["text_top_k"], settings["temperature"]) == (1, 1, 0.8)

    def test_what_cannot_be_used_is_named_and_the_rest_written(self, tmp_path: Path) -> None:
        good, short = record_stereo(tmp_path / "good.wav"), record_stereo(tmp_path / "short.wav", 0.5)
        wrong = record_stereo(tmp_path / "wrong.wav")
        (tmp_path / "wrong.json").write_text("{}")
        code, err = run("tiny", short, wrong, good, "-o", tmp_path / "out", *SHORT)
        assert code == 1
        assert f"error: {short}: lasts 0.50 s" in err
        assert f"error: {wrong.with_suffix('.json')}:1: " in err
        assert "1 of 3 dialogues went on" in err
        assert files_in(tmp_path / "out") == ["about", "good.json", "good.npy", "good.wav"]

    def test_nothing_is_replaced(self, tmp_path: Path) -> None:
        recording = record_stereo(tmp_path / "a.wav")
        run("tiny", recording, "-o", tmp_path / "out", *SHORT)
        before = (tmp_path / "out" / "a.wav").read_bytes()
        with pytest.raises(VoxtuneError, match=r"a\.wav: is there already"):
            run("tiny", recording, "-o", tmp_path / "out", *SHORT, "--seed", 1)
        assert (tmp_path / "out" / "a.wav").read_bytes() == before
        with pytest.raises(VoxtuneError, match=r"its file would be called a, as that of"):
            run("tiny", recording, recording, "-o", tmp_path / "new", *SHORT)

    def test_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        recording = record_stereo(tmp_path / "a.wav")
        (tmp_path / "file").write_text("")
        with pytest.raises(VoxtuneError, match="file: cannot be written"):
            run("tiny", recording, "-o", tmp_path / "file", *SHORT)

    def test_a_model_that_cannot(self, tmp_path: Path, tiny_asr_folder: Path) -> None:
        with pytest.raises(VoxtuneError, match="fun_asr_nano cannot converse; it can transcribe"):
            run(tiny_asr_folder, record_stereo(tmp_path / "a.wav"), "-o", tmp_path / "out")

    def test_a_folder_of_a_model_in_half_precision(self, tmp_path: Path) -> None:
        folder = copy_of_tiny(tmp_path / "model")
        recording = record_stereo(tmp_path / "a.wav")
        code, _ = run(folder, recording, "-o", tmp_path / "out", *SHORT, "--precision", "bf16")
        assert (code, len(files_in(tmp_path / "out"))) == (0, 4)


class TestTokens:
    def test_what_was_written_can_be_heard(self, tmp_path: Path) -> None:
        recording = record_stereo(tmp_path / "a.wav")
        run("tiny", recording, "-o", tmp_path / "out", *SHORT)
        code, err = run("tiny", tmp_path / "out" / "a.npy", "-o", tmp_path / "heard")
        assert (code, err) == (0, f"1 of 1 token files can be heard, in {tmp_path / 'heard'}\n")
        assert files_in(tmp_path / "heard") == ["a.wav"]
        sound = soundfile.info(tmp_path / "heard" / "a.wav")
        assert (sound.samplerate, sound.channels, sound.frames, sound.subtype) == (24000, 2, 9600, "PCM_16")

    def test_wrong_ones_are_named(self, tmp_path: Path) -> None:
        np.save(tmp_path / "good.npy", np.zeros((17, 3), dtype=np.int64))
        np.save(tmp_path / "nine.npy", np.zeros((9, 3), dtype=np.int64))
        np.save(tmp_path / "large.npy", np.full((17, 3), 256))
        files = [tmp_path / f"{name}.npy" for name in ("nine", "large", "missing", "good")]
        code, err = run("tiny", *files, "-o", tmp_path / "out")
        assert code == 1
        assert f"error: {files[0]}: tokens of shape [9, 3]; text and the codes of both speakers are needed" in err
        assert f"error: {files[1]}: code 256 in row 1, frame 0; this model's codec has 256 codes" in err
        assert f"error: {files[2]}: no such file" in err
        assert files_in(tmp_path / "out") == ["good.wav"]
        with pytest.raises(VoxtuneError, match=r"good\.wav: is there already"):
            run("tiny", files[3], "-o", tmp_path / "out")

    def test_one_kind_at_a_time(self, tmp_path: Path) -> None:
        with pytest.raises(VoxtuneError, match=r"a\.wav is no token file"):
            run("tiny", "b.npy", "a.wav", "-o", tmp_path / "out")
        with pytest.raises(VoxtuneError, match=r"several files would be written to .*b\.wav"):
            run("tiny", "b.npy", "c/b.npy", "-o", tmp_path / "out")
