"""`voxtune transcribe`: what it writes, and what it says when something is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
import torch
import typer
from typer.testing import CliRunner

from voxtune.cli.transcribe import transcribe
from voxtune.errors import VoxtuneError

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(transcribe)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    paths = [str(tmp_path / f"u{seed}.wav") for seed in range(3)]
    for seed, path in enumerate(paths):
        generator = torch.Generator().manual_seed(seed)
        soundfile.write(path, torch.randn(4000 + 3000 * seed, generator=generator).numpy() * 0.1, 16000)
    return paths


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit code, output and messages; a VoxtuneError is raised as it is."""
    short = ["--max-new-tokens", "6"]  # the random model never ends an answer
    result = CliRunner().invoke(app, [*short, *map(str, arguments)], env={"CUDA_VISIBLE_DEVICES": ""})
    if isinstance(result.exception, VoxtuneError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


class TestOutput:
    def test_text_goes_to_standard_output(self, tiny_asr_folder: Path, files: list[str]) -> None:
        code, out, err = run(tiny_asr_folder, *files)
        assert code == 0
        assert [line.split("\t")[0] for line in out.splitlines()] == ["u0", "u1", "u2"]
        assert all(line.split("\t")[1] for line in out.splitlines())
        assert "error" not in err

    def test_a_list_of_recordings_to_a_file(self, tiny_asr_folder: Path, files: list[str], tmp_path: Path) -> None:
        (tmp_path / "val_wav.scp").write_text("b u1.wav\na u0.wav\n")
        output = tmp_path / "out" / "output.txt"
        code, out, _ = run(tiny_asr_folder, "--wav-scp", tmp_path / "val_wav.scp", "-o", output)
        assert (code, out) == (0, "")
        _, direct, _ = run(tiny_asr_folder, files[1], files[0])
        assert output.read_text() == direct.replace("u1\t", "b\t").replace("u0\t", "a\t")

    def test_data_files_of_any_layout(self, tiny_asr_folder: Path, files: list[str], tmp_path: Path) -> None:
        (tmp_path / "data.jsonl").write_text('{"audio": "u0.wav", "text": "x", "key": "k"}\n')
        (tmp_path / "data.dat").write_text('{"audio": "u1.wav", "text": "x", "key": "l"}\n')
        _, out, _ = run(tiny_asr_folder, tmp_path / "data.jsonl")
        assert out.startswith("k\t")
        _, out, _ = run(tiny_asr_folder, tmp_path / "data.dat", "--from", "plain_jsonl")
        assert out.startswith("l\t")

    def test_json_by_the_ending(self, tiny_asr_folder: Path, files: list[str], tmp_path: Path) -> None:
        sound = torch.randn(3 * 16000, generator=torch.Generator().manual_seed(0)) * 0.1
        soundfile.write(tmp_path / "u.wav", sound.numpy(), 16000)
        run(tiny_asr_folder, tmp_path / "u.wav", "-o", tmp_path / "a.json", "--timestamps")
        (item,) = json.loads((tmp_path / "a.json").read_text())
        assert item["key"] == "u"
        assert item["segments"] == [{"start": 0, "end": 3, "text": item["text"]}]
        assert "".join(token["text"] for token in item["timestamps"]).strip() == item["text"]

    def test_a_text_that_is_cut_off_is_marked_and_named(
        self, tiny_asr_folder: Path, files: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        code, _, _ = run(tiny_asr_folder, files[0], "-o", tmp_path / "a.json")
        (item,) = json.loads((tmp_path / "a.json").read_text())
        assert (code, item["complete"]) == (0, False)
        assert caplog.messages[0].startswith("u0: the text is cut off at max_new_tokens = 6 (0.0 to 0.2 s)")

    def test_subtitles_of_one_recording(self, tiny_asr_folder: Path, files: list[str], tmp_path: Path) -> None:
        run(tiny_asr_folder, files[2], "-o", tmp_path / "a.srt")
        assert (tmp_path / "a.srt").read_text().startswith("1\n00:00:00,000 --> 00:00:00,625\n")
        _, out, _ = run(tiny_asr_folder, files[2], "--format", "srt")
        assert out == (tmp_path / "a.srt").read_text()

    def test_subtitles_of_several_recordings(self, tiny_asr_folder: Path, files: list[str], tmp_path: Path) -> None:
        run(tiny_asr_folder, *files, "-o", tmp_path / "subtitles", "--format", "srt")
        assert sorted(p.name for p in (tmp_path / "subtitles").iterdir()) == ["u0.srt", "u1.srt", "u2.srt"]

    def test_subtitles_without_times_of_words_are_cut_short(self, tiny_asr_folder: Path, tmp_path: Path) -> None:
        sound = torch.randn(25 * 16000, generator=torch.Generator().manual_seed(0)) * 0.1
        soundfile.write(tmp_path / "long.wav", sound.numpy(), 16000)
        _, out, _ = run(tiny_asr_folder, tmp_path / "long.wav", "--format", "srt")
        assert out.count("-->") >= 3


class TestOptions:
    @pytest.mark.parametrize(
        "options",
        [
            ["--language", "en"],
            ["--language", "中文"],
            ["--hotwords", "pier,quay"],
            ["--no-itn"],
        ],
    )
    def test_they_reach_the_model(self, tiny_asr_folder: Path, files: list[str], options: list[str]) -> None:
        _, plain, _ = run(tiny_asr_folder, *files)
        code, changed, _ = run(tiny_asr_folder, *files, *options)
        assert code == 0
        assert changed != plain

    def test_half_precision(self, tiny_asr_folder: Path, files: list[str]) -> None:
        code, out, _ = run(tiny_asr_folder, *files, "--precision", "bf16")
        assert (code, out.count("\n")) == (0, 3)

    def test_hot_words_from_a_file(self, tiny_asr_folder: Path, files: list[str], tmp_path: Path) -> None:
        (tmp_path / "words.txt").write_text("pier\n\n quay \n")
        _, from_file, _ = run(tiny_asr_folder, *files, "--hotwords", tmp_path / "words.txt")
        _, listed, _ = run(tiny_asr_folder, *files, "--hotwords", "pier, quay")
        assert from_file == listed

    def test_batches_change_nothing(self, tiny_asr_folder: Path, files: list[str]) -> None:
        assert run(tiny_asr_folder, *files, "--batch-size", "1")[1] == run(tiny_asr_folder, *files)[1]


class TestErrors:
    def test_a_bad_file_is_named_and_the_rest_is_written(
        self, tiny_asr_folder: Path, files: list[str], tmp_path: Path
    ) -> None:
        (tmp_path / "wav.scp").write_text("a u0.wav\nb\nc gone.wav\nd u1.wav\n")
        Path(files[2]).write_bytes(b"not audio")
        output = tmp_path / "output.txt"
        code, _, err = run(tiny_asr_folder, files[2], tmp_path / "wav.scp", "-o", output)
        assert code == 1
        assert [line.split("\t")[0] for line in output.read_text().splitlines()] == ["a", "d"]
        assert "u2.wav: no audio that can be read" in err
        assert "wav.scp:2" in err
        assert "gone.wav: no such file" in err
        assert "2 of 5 recordings were transcribed" in err

    def test_nothing_is_written_when_nothing_can_be_read(self, tiny_asr_folder: Path, tmp_path: Path) -> None:
        code, out, err = run(tiny_asr_folder, "gone.wav", "-o", tmp_path / "output.txt")
        assert (code, out) == (1, "")
        assert "gone.wav: no such file" in err
        assert not (tmp_path / "output.txt").exists()

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            ([], "nothing to transcribe"),
            (["{0}", "--timestamps"], "a text file has no place for times"),
            (["{0}", "{1}", "--format", "srt"], "2 recordings make as many SRT files"),
            (["{0}", "{1}", "-o", "a.srt"], "2 recordings make as many SRT files"),
            (["{0}", "{0}", "-o", "subtitles", "--format", "srt"], "several recordings would be written to"),
            (["{0}", "-o", "{0}"], "is an input and would be overwritten"),
            (["{0}", "--language", "jp"], "language 'jp' is not known"),
            (["{0}", "--device", "gpu"], "device 'gpu' cannot be used here"),
            (["gone.jsonl"], "no such file"),
            (["{0}", "-o", "{0}/output.txt"], "cannot be written"),
        ],
    )
    def test_each_mistake_has_its_message(
        self, tiny_asr_folder: Path, files: list[str], options: list[str], complaint: str
    ) -> None:
        with pytest.raises(VoxtuneError, match=complaint):
            run(tiny_asr_folder, *(option.format(*files) for option in options))

    def test_an_unknown_model(self, files: list[str], tmp_path: Path) -> None:
        with pytest.raises(VoxtuneError, match="no model that is known here"):
            run(tmp_path, files[0])
