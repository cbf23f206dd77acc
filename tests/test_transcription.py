"""From recordings to transcripts: order, batches, long recordings, what cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

import voxtune
from tests.conftest import TinyAsr
from voxtune.api import SpeechModel
from voxtune.data.formats.lines import Problems
from voxtune.data.sample import AudioPart, Dialogue, Sample, TextPart, Turn, transcription
from voxtune.errors import CheckpointError, DataError, VoxtuneError
from voxtune.families.family import Settings, TimedToken
from voxtune.families.fun_asr_nano import FAMILY
from voxtune.families.recognition import recognise
from voxtune.inference import ReadyModel, find_device, load_model
from voxtune.transcription.inputs import read_inputs
from voxtune.transcription.output import as_json, as_srt, as_text
from voxtune.transcription.transcribe import Recording, Segment, Transcript, transcribe

RATE = 16000
SETTINGS = Settings(max_new_tokens=8, batch_size=3)
SPEECH = AudioPart(path="-")


def waveform(seconds: float, seed: int) -> Tensor:
    return torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(seed)) * 0.1


def long_waveform() -> Tensor:
    """50 s with pauses after 18 s and 39 s."""
    sound = waveform(50, 9)
    for second in (18, 39):
        sound[second * RATE : second * RATE + RATE // 2] = 0
    return sound


@pytest.fixture
def ready(tiny_asr: TinyAsr) -> ReadyModel:
    return ReadyModel(FAMILY, tiny_asr.model, tiny_asr.layout, torch.device("cpu"))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Five recordings of different lengths."""
    paths = []
    for seed, seconds in enumerate((1.0, 0.3, 2.0, 0.6, 1.5)):
        paths.append(tmp_path / f"u{seed}.wav")
        soundfile.write(paths[-1], waveform(seconds, seed).numpy(), RATE)
    return paths


def of_file(path: Path) -> Recording:
    return Recording(transcription(path.stem, AudioPart(path=str(path))))


def unexpected(sample: Sample, error: VoxtuneError) -> None:
    raise error


class TestTranscribe:
    def test_results_are_in_the_order_asked_whatever_the_batches(self, ready: ReadyModel, files: list[Path]) -> None:
        recordings = [of_file(path) for path in files]
        together = transcribe(ready, recordings, SETTINGS, failed=unexpected)
        alone = [transcribe(ready, [item], SETTINGS, failed=unexpected)[0] for item in recordings]
        assert [item.key for item in together] == ["u0", "u1", "u2", "u3", "u4"]
        assert together == alone
        assert len({item.text for item in together}) == 5

    def test_what_cannot_be_read_is_named_and_the_rest_is_transcribed(
        self, ready: ReadyModel, files: list[Path], tmp_path: Path
    ) -> None:
        missing, text, empty = tmp_path / "missing.wav", tmp_path / "text.wav", tmp_path / "empty.wav"
        text.write_text("not audio")
        soundfile.write(empty, [], RATE)
        nan = tmp_path / "nan.wav"
        soundfile.write(nan, torch.tensor([0.1, float("nan")] * 4000).numpy(), RATE, subtype="FLOAT")
        dialogue = Sample(key="both", dialogue=Dialogue(audio=[AudioPart(path=str(files[0]))]))
        chat = Sample(key="chat", turns=[Turn(role="user", parts=[TextPart(text="hello?")])])
        asked = [of_file(files[0]), *map(of_file, (missing, text, empty, nan)), Recording(dialogue), Recording(chat)]
        failures: dict[str, str] = {}
        done = transcribe(
            ready,
            [*asked, of_file(files[1])],
            SETTINGS,
            failed=lambda sample, error: failures.__setitem__(sample.key, str(error)),
        )
        assert [item.key for item in done] == ["u0", "u1"]
        assert list(failures) == ["missing", "text", "empty", "both", "chat", "nan"]
        assert all(key in failures[key] for key in failures)
        assert "no such file" in failures["missing"]
        assert "two-speaker" in failures["both"]
        assert "nothing to hear" in failures["chat"]

    def test_a_long_recording_is_cut_at_pauses(self, ready: ReadyModel, tmp_path: Path) -> None:
        file = tmp_path / "long.wav"
        soundfile.write(file, long_waveform().numpy(), RATE, subtype="FLOAT")
        (item,) = transcribe(ready, [of_file(file)], SETTINGS, failed=unexpected)
        spans = [(segment.start, segment.end) for segment in item.segments]
        assert spans == [
            (0, pytest.approx(18.25, abs=0.3)),
            (spans[0][1], pytest.approx(39.25, abs=0.3)),
            (spans[1][1], 50),
        ]
        assert item.text == " ".join(segment.text for segment in item.segments)
        heard = [long_waveform()[round(start * RATE) : round(end * RATE)] for start, end in spans]
        parts = [Recording(transcription(str(n), AudioPart(path="-")), sound) for n, sound in enumerate(heard)]
        alone = transcribe(ready, parts, SETTINGS, failed=unexpected)
        assert [segment.text for segment in item.segments] == [part.text for part in alone]

    def test_times_count_from_the_beginning_of_the_recording(self, ready: ReadyModel) -> None:
        settings = Settings(max_new_tokens=6, timestamps=True)
        recording = Recording(transcription("k", AudioPart(path="-")), long_waveform())
        (item,) = transcribe(ready, [recording], settings, failed=unexpected)
        assert len(item.segments) == 3
        times = item.timestamps
        assert [token.start for token in times] == sorted(token.start for token in times)
        for segment in item.segments:
            inside = [token for token in times if segment.start <= token.start < segment.end]
            assert "".join(token.text for token in inside).strip() == segment.text
            assert all(token.end <= segment.end + 0.06 for token in inside)

    def test_a_part_of_a_file(self, ready: ReadyModel, files: list[Path]) -> None:
        part = Recording(transcription("part", AudioPart(path=str(files[2]), start=0.5, duration=1.0)))
        samples, _ = soundfile.read(files[2], dtype="float32")
        sound = torch.from_numpy(samples[RATE // 2 : RATE * 3 // 2].copy())
        cut = Recording(transcription("cut", AudioPart(path="-")), sound)
        a, b = transcribe(ready, [part, cut], SETTINGS, failed=unexpected)
        assert a.text == b.text

    def test_progress_is_told_in_seconds(self, ready: ReadyModel, files: list[Path]) -> None:
        told: list[tuple[float, float]] = []
        transcribe(
            ready,
            [of_file(path) for path in files],
            SETTINGS,
            failed=unexpected,
            advanced=lambda done, total: told.append((done, total)),
        )
        assert [total for _, total in told] == pytest.approx([5.4, 5.4])
        assert [done for done, _ in told] == pytest.approx([4.5, 5.4])

    def test_too_little_memory_is_a_message(self, ready: ReadyModel, files: list[Path]) -> None:
        def fail(module: object, args: object) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

        ready.model.llm.register_forward_pre_hook(fail)
        with pytest.raises(VoxtuneError, match="3 recordings at once; lower the batch size"):
            transcribe(ready, [of_file(path) for path in files], SETTINGS, failed=unexpected)


class TestInputs:
    def test_audio_files_and_data_files(self, files: list[Path], tmp_path: Path) -> None:
        scp, table = tmp_path / "wav.scp", tmp_path / "data.jsonl"
        scp.write_text("a u1.wav\nb u2.wav\n")
        table.write_text('{"audio": "u3.wav", "text": "x", "key": "c", "language": "en"}\n')
        samples = read_inputs([str(files[0]), str(scp), str(table)], None, Problems())
        assert [sample.key for sample in samples] == ["u0", "a", "b", "c"]
        assert [Path(sample.audio[0].path).name for sample in samples] == [f"u{n}.wav" for n in range(4)]
        assert samples[3].language == "en"

    def test_a_wrong_line_leaves_the_others(self, tmp_path: Path) -> None:
        scp = tmp_path / "wav.scp"
        scp.write_text("a u1.wav\nb\nc u2.wav\n")
        problems = Problems()
        assert [sample.key for sample in read_inputs([str(scp)], None, problems)] == ["a", "c"]
        (problem,) = problems.errors
        assert f"{scp}:2" in str(problem)

    def test_repeated_names_become_paths(self) -> None:
        samples = read_inputs(["x/a.wav", "y/a.wav", "y/b.wav", "https://example.org/c.mp3?x=1"], None, Problems())
        assert [sample.key for sample in samples] == ["x/a.wav", "y/a.wav", "b", "c"]


class TestOutput:
    def transcripts(self) -> list[Transcript]:
        times = [TimedToken(text, n * 0.5, n * 0.5 + 0.4, 0.91234) for n, text in enumerate(["the", " har", "bour."])]
        first = Transcript("a", "the harbour.", times, True, [Segment(0.0, 3.0004, "the harbour.")])
        return [first, Transcript("b", "今天 x", [], False, [Segment(0.0, 2.0, "今天"), Segment(3661.5, 3662.0, "x")])]

    def test_text(self) -> None:
        assert as_text(self.transcripts()) == "a\tthe harbour.\nb\t今天 x\n"

    def test_json(self) -> None:
        first, second = json.loads(as_json(self.transcripts()))
        assert first["segments"] == [{"start": 0.0, "end": 3.0, "text": "the harbour."}]
        assert first["timestamps"][1] == {"text": " har", "start": 0.5, "end": 0.9, "score": 0.912}
        assert second["key"] == "b"
        assert (first["complete"], second["complete"]) == (True, False)
        assert "timestamps" not in second

    def test_srt_of_segments(self) -> None:
        assert as_srt(self.transcripts()[1]) == (
            "1\n00:00:00,000 --> 00:00:02,000\n今天\n\n2\n01:01:01,500 --> 01:01:02,000\nx\n"
        )

    def test_srt_of_words_breaks_between_words(self) -> None:
        """At the end of a sentence, at a pause, when the line is full or the cue long; never inside a word."""
        pieces = [("the", 0.0), (" har", 0.4), ("bour.", 0.8), (" open", 1.2), ("s", 1.6), (" now", 4.0), (" or", 4.4)]
        times = [TimedToken(text, start, start + 0.4, 1.0) for text, start in pieces]
        srt = as_srt(Transcript("a", "", times))
        assert [block.split("\n")[2] for block in srt.strip().split("\n\n")] == ["the harbour.", "opens", "now or"]
        assert "00:00:01,200 --> 00:00:02,000" in srt

    def test_srt_cues_are_neither_wide_nor_long(self) -> None:
        words = [TimedToken(f" word{n}", n * 0.5, n * 0.5 + 0.5, 1.0) for n in range(40)]
        characters = [TimedToken("字", 30 + n * 0.1, 30.1 + n * 0.1, 1.0) for n in range(60)]
        blocks = as_srt(Transcript("a", "", [*words, *characters])).strip().split("\n\n")
        lines = [block.split("\n")[2] for block in blocks]
        assert all(len(line) <= 42 and line.count("字") <= 21 for line in lines)
        assert "".join(lines).replace(" ", "") == "".join(t.text for t in [*words, *characters]).replace(" ", "")


class TestUnfinishedAnswers:
    def test_each_is_named_with_its_stretches(self, ready: ReadyModel, caplog: pytest.LogCaptureFixture) -> None:
        long = Recording(transcription("long", SPEECH), long_waveform())
        short = Recording(transcription("short", SPEECH), waveform(1, 0))
        found = transcribe(ready, [long, short], SETTINGS, failed=unexpected)
        assert [item.complete for item in found] == [False, False]
        first, second = caplog.messages
        stretches = ", ".join(f"{item.start:.1f} to {item.end:.1f} s" for item in found[0].segments)
        assert first.startswith(f"long: the text is cut off at max_new_tokens = 8 ({stretches}); raise max_new_tokens")
        assert second.startswith("short: ")

    def test_an_ended_answer_is_complete(
        self, tiny_asr: TinyAsr, ready: ReadyModel, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Also where it ends with the last token that is allowed."""
        end = tiny_asr.layout.tokenizer.convert_tokens_to_ids("<|im_end|>")
        tiny_asr.model.llm.lm_head.register_forward_hook(
            lambda module, args, logits: logits.index_fill(-1, torch.tensor([end]), 1e4)
        )
        recording = Recording(transcription("k", SPEECH), waveform(1, 0))
        (item,) = transcribe(ready, [recording], Settings(max_new_tokens=1), failed=unexpected)
        assert item.complete
        assert not caplog.messages


class TestModels:
    def test_a_folder_in_upstreams_layout(self, tiny_asr_folder: Path, tiny_asr: TinyAsr, files: list[Path]) -> None:
        ready = load_model(str(tiny_asr_folder), "transcribe", device="cpu")
        assert ready.family.name == "fun_asr_nano"
        assert not ready.model.training
        mine = ReadyModel(ready.family, tiny_asr.model, tiny_asr.layout, ready.device)
        recordings = [of_file(path) for path in files]
        assert transcribe(ready, recordings, SETTINGS, failed=unexpected) == transcribe(
            mine, recordings, SETTINGS, failed=unexpected
        )

    def test_precision(self, tiny_asr_folder: Path, files: list[Path]) -> None:
        ready = load_model(str(tiny_asr_folder), "transcribe", device="cpu", precision="bf16")
        assert {p.dtype for p in ready.model.parameters()} == {torch.bfloat16}
        assert len(transcribe(ready, [of_file(path) for path in files], SETTINGS, failed=unexpected)) == 5

    def test_an_unknown_folder(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"no model that is known here \(.*fun_asr_nano"):
            recognise(str(tmp_path), "transcribe")

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="no such folder"):
            recognise(str(tmp_path / "runs" / "a" / "b"), "transcribe")

    @pytest.mark.parametrize("name", ["gpu", "cuda:99", "xla"])
    def test_an_unusable_device(self, name: str) -> None:
        with pytest.raises(VoxtuneError, match=f"device '{name}' cannot be used here"):
            find_device(name)


@pytest.fixture(scope="module")
def model(tiny_asr_folder: Path) -> SpeechModel:
    return voxtune.load(tiny_asr_folder, device="cpu")


class TestPython:
    def test_files_waveforms_and_samples(self, model: SpeechModel, files: list[Path]) -> None:
        samples, rate = soundfile.read(files[0], dtype="float32")
        sample = transcription("s", AudioPart(path=str(files[0])))
        asked = [str(files[0]), files[0], (samples, rate), (torch.from_numpy(samples), rate), sample]
        found = model.transcribe(asked, max_new_tokens=8)
        assert [item.key for item in found] == ["u0", "u0", "waveform-3", "waveform-4", "s"]
        assert len({item.text for item in found}) == 1
        (alone,) = model.transcribe(files[0], max_new_tokens=8)
        assert alone.text == found[0].text

    def test_another_rate_is_resampled(self, model: SpeechModel) -> None:
        sound = waveform(1, 3)
        (item,) = model.transcribe((sound.repeat_interleave(3), 3 * RATE), max_new_tokens=8)
        assert item.segments[0].end == pytest.approx(1.0)

    def test_options_reach_the_model(self, model: SpeechModel, files: list[Path]) -> None:
        texts = [
            model.transcribe(files[0], max_new_tokens=8, **options)[0].text
            for options in ({}, {"language": "en"}, {"hotwords": ["pier"]}, {"text_normalization": False})
        ]
        assert len(set(texts)) == 4
        (timed,) = model.transcribe(files[2], max_new_tokens=4, timestamps=True)
        assert "".join(token.text for token in timed.timestamps).strip() == timed.text

    def test_a_bad_recording_is_an_error(self, model: SpeechModel, files: list[Path]) -> None:
        with pytest.raises(DataError, match=r"missing\.wav: no such file"):
            model.transcribe([files[0], "missing.wav"])

    @pytest.mark.parametrize(
        ("item", "complaint"),
        [
            ((torch.zeros(2, 100), RATE), "one channel"),
            ((torch.zeros(100, dtype=torch.int16), RATE), "torch.int16|int16"),
            ((torch.zeros(100), "16k"), "rate in Hz"),
            (("a.wav", "b.wav"), "put several into a list"),
            ((torch.zeros(0), RATE), "nothing to hear"),
        ],
    )
    def test_a_wrong_waveform_is_named(self, model: SpeechModel, item: object, complaint: str) -> None:
        with pytest.raises(VoxtuneError, match=complaint):
            model.transcribe(item)
