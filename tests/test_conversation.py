"""Going on with dialogues: what is read, what is refused, what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import voxtune
from tests.helpers.dialogues import WORDS, folder_of_dialogues, record_stereo
from tests.helpers.recordings import record, tone
from voxtune.api import SpeechModel
from voxtune.conversation.converse import converse
from voxtune.conversation.inputs import played_by, read_dialogues, read_tokens
from voxtune.conversation.output import described, refuse_existing, write_continuation
from voxtune.data.formats.lines import Problems
from voxtune.data.manifest import write_samples
from voxtune.data.sample import AudioPart, Dialogue, Sample, Word, transcription
from voxtune.errors import DataError, VoxtuneError
from voxtune.families.family import Continuation, DialogueSettings
from voxtune.families.moshi import TINY
from voxtune.inference import ReadyModel, load_model

SETTINGS = DialogueSettings(prompt_seconds=0.8, seconds=0.4, batch_size=2)


def read(*sources: Path | str, format: str | None = None) -> list[Sample]:
    problems = Problems()
    samples = read_dialogues([str(source) for source in sources], format, problems)
    problems.raise_errors()
    return samples


def words_of(sample: Sample) -> list[str]:
    assert sample.dialogue is not None
    return [word.text for word in sample.dialogue.words]


class TestInputs:
    def test_a_recording_with_the_words_beside_it(self, tmp_path: Path) -> None:
        folder_of_dialogues(tmp_path, ["a"])
        (sample,) = read(tmp_path / "a.wav")
        assert (sample.key, words_of(sample)) == ("a", [word["word"] for word in WORDS])
        (tmp_path / "a.json").unlink()
        (sample,) = read(tmp_path / "a.wav")
        assert words_of(sample) == []

    def test_wrong_words_beside_a_recording(self, tmp_path: Path) -> None:
        folder_of_dialogues(tmp_path, ["a"], [{"speaker": "C", "word": "x", "start": 0, "end": 1}])
        record_stereo(tmp_path / "b.wav")
        problems = Problems()
        samples = read_dialogues([str(tmp_path / "a.wav"), str(tmp_path / "b.wav")], None, problems)
        assert [sample.key for sample in samples] == ["b"]
        (error,) = problems.errors
        assert str(error).startswith(f"{tmp_path / 'a.json'}:1: entry 1.speaker")

    def test_folders(self, tmp_path: Path) -> None:
        folder_of_dialogues(tmp_path / "words", ["b", "a"])
        for name in ("d.wav", "c.flac"):
            record_stereo(tmp_path / "bare" / name)
        samples = read(tmp_path / "words", tmp_path / "bare", tmp_path / "bare" / "d.wav")
        assert [(sample.key, len(words_of(sample))) for sample in samples] == [
            ("a", 3), ("b", 3), ("c", 0), ("d", 0), ("d", 0),
        ]  # fmt: skip

    def test_data_files(self, tmp_path: Path) -> None:
        folder_of_dialogues(tmp_path / "words", ["a", "b"])
        write_samples(read(tmp_path / "words"), tmp_path / "data.jsonl", "voxtune_jsonl")
        samples = read(tmp_path / "data.jsonl")
        assert [(sample.key, len(words_of(sample))) for sample in samples] == [("a", 3), ("b", 3)]
        assert read(tmp_path / "data.jsonl", format="voxtune_jsonl") == samples

    def test_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no such file"):
            read(tmp_path / "missing.jsonl")
        with pytest.raises(DataError, match="in no known layout"):
            read(tmp_path)

    def test_the_other_speaker(self, tmp_path: Path) -> None:
        (sample,) = read(folder_of_dialogues(tmp_path, ["a"]))
        other = played_by(sample, "B")
        assert other.dialogue is not None
        assert (other.dialogue.main, other.origin) == ("B", sample.origin)
        assert other.dialogue.words == sample.dialogue.words  # type: ignore[union-attr]

    def test_tokens(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.arange(34, dtype=np.int32).reshape(17, 2))
        tokens = read_tokens(tmp_path / "a.npy")
        assert tokens.dtype == torch.int64
        assert torch.equal(tokens, torch.arange(34).reshape(17, 2))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "no such file"),
            (b"", "damaged, or no npy file"),
            (b"RIFF....WAVE", "damaged, or no npy file"),
            (np.zeros((17, 2)), r"holds float64 \[17, 2\]; tokens are integers"),
            (np.zeros(17, dtype=np.int64), r"holds int64 \[17\]"),
            (np.array([{"a": 1}], dtype=object), "damaged, or no npy file"),
        ],
    )
    def test_no_tokens(self, tmp_path: Path, content: Any, message: str) -> None:
        path = tmp_path / "a.npy"
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            np.save(path, content, allow_pickle=True)
        with pytest.raises(DataError, match=message) as caught:
            read_tokens(path)
        assert str(caught.value).startswith(str(path))


@pytest.fixture(scope="module")
def ready() -> ReadyModel:
    return load_model(str(TINY), "converse", device="cpu")


def go_on(ready: ReadyModel, samples: list[Sample], settings: DialogueSettings = SETTINGS) -> dict[int, Continuation]:
    def failed(sample: Sample, error: VoxtuneError) -> None:
        raise error

    return dict(converse(ready, samples, settings, failed=failed))


class TestConverse:
    def test_those_that_can_be_used_in_order(self, ready: ReadyModel, tmp_path: Path) -> None:
        good = [record_stereo(tmp_path / f"{name}.wav", seed=seed) for seed, name in enumerate("abc")]
        short = record_stereo(tmp_path / "short.wav", 0.5)
        mono = record(tmp_path / "mono.wav")
        samples = [*read(good[0], short, mono, *good[1:]), transcription("turns", AudioPart(path=str(good[0])))]
        failed: dict[str, str] = {}
        done: list[int] = []
        found = list(
            converse(
                ready,
                samples,
                SETTINGS,
                failed=lambda sample, error: failed.update({sample.key: str(error)}),
                advanced=done.append,
            )
        )
        assert [(number, item.key) for number, item in found] == [(0, "a"), (3, "b"), (4, "c")]
        assert done == [2, 4, 6]
        assert failed["short"].startswith(f"{short}: lasts 0.50 s, shorter than the prompt of 0.8 s")
        assert failed["mono"] == f"{mono}: 1 channels; a dialogue is a stereo recording, left A and right B"
        assert failed["turns"].startswith("sample 'turns': a conversation of turns")

    def test_batches_do_not_matter(self, ready: ReadyModel, tmp_path: Path) -> None:
        samples = read(*[record_stereo(tmp_path / f"{name}.wav", seed=seed) for seed, name in enumerate("abc")])
        together = go_on(ready, samples)
        alone = go_on(ready, samples[::-1], DialogueSettings(prompt_seconds=0.8, seconds=0.4, batch_size=1))
        for number, found in together.items():
            assert torch.equal(found.tokens, alone[2 - number].tokens)

    def test_what_is_not_read_does_not_matter(self, ready: ReadyModel, tmp_path: Path) -> None:
        """The end of a long recording, also at a rate that has to be resampled."""
        (sample,) = read(record_stereo(tmp_path / "a.wav", 6.0, rate=22050))
        (found,) = go_on(ready, [sample]).values()
        whole = ready.layout.waveforms(sample)
        (expected,) = ready.family.converse(ready.model, ready.layout, [(sample, whole)], SETTINGS)
        assert len(whole[0]) == 6 * ready.layout.sample_rate
        assert torch.equal(found.tokens, expected.tokens)
        assert torch.equal(found.prompt, expected.prompt)
        assert found.partner == expected.partner == "recording"

    def test_two_files_of_other_lengths(self, ready: ReadyModel, tmp_path: Path) -> None:
        paths = [record(tmp_path / f"{s}.wav", tone(seconds)) for s, seconds in (("a", 2.0), ("b", 3.0))]
        sample = Sample(key="x", dialogue=Dialogue(audio=[AudioPart(path=str(path)) for path in paths]))
        with pytest.raises(DataError, match=r"a\.wav, .*b\.wav: the two speakers' recordings last 2\.00 s and 3\.00 s"):
            go_on(ready, [sample])

    def test_a_recording_that_is_missing(self, ready: ReadyModel, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no such file"):
            go_on(ready, [Sample(key="x", dialogue=Dialogue(audio=[AudioPart(path=str(tmp_path / "x.wav"))]))])

    def test_too_little_memory(self, ready: ReadyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*arguments: object) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

        monkeypatch.setattr("voxtune.families.moshi.generate.continue_rows", full)
        with pytest.raises(VoxtuneError, match="too little memory for 1 dialogues at once; lower the batch size"):
            go_on(ready, read(record_stereo(tmp_path / "a.wav")))


def continuation() -> tuple[Sample, Continuation]:
    words = [
        Word(speaker="B", text="late", start=0.9, end=1.2),
        Word(speaker="A", text="early", start=0.1, end=0.4),
        Word(speaker="A", text="behind", start=1.0, end=1.4),
    ]
    sample = Sample(key="a", dialogue=Dialogue(audio=[AudioPart(path="a.wav")], words=words, main="B"))
    said = [Word(speaker="B", text="and", start=0.08, end=0.16), Word(speaker="B", text="so", start=0.24, end=0.4)]
    prompt = torch.linspace(-1, 1, 2 * 100).reshape(2, 100)
    waveform = torch.tensor([[1.5, -1.5, 0.25, 0.0], [0.0, 0.5, -0.5, 1.0]])
    return sample, Continuation("a", torch.arange(34).reshape(17, 2), waveform, prompt, said, "generated")


class TestOutput:
    def test_four_files(self, tmp_path: Path) -> None:
        sample, found = continuation()
        write_continuation(tmp_path / "out", "a", sample, found, SETTINGS, 100)
        assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a.json", "a.npy", "a.wav", "about"]
        sound, rate = soundfile.read(tmp_path / "out" / "a.wav", dtype="float32")
        assert (rate, soundfile.info(tmp_path / "out" / "a.wav").subtype) == (100, "PCM_16")
        expected = torch.cat([found.prompt, found.waveform], 1).clamp(-1, 1)
        torch.testing.assert_close(torch.from_numpy(sound.T), expected, atol=1 / 2**15, rtol=0)
        tokens = np.load(tmp_path / "out" / "a.npy", allow_pickle=False)
        assert tokens.dtype == np.int64
        assert np.array_equal(tokens, found.tokens.numpy())
        about = json.loads((tmp_path / "out" / "about" / "a.json").read_text(encoding="utf-8"))
        assert about == described(sample, found, SETTINGS, 100)
        assert json.loads((tmp_path / "out" / "a.json").read_text(encoding="utf-8")) == [
            {"speaker": "B", "word": "early", "start": 0.1, "end": 0.4},
            {"speaker": "A", "word": "late", "start": 0.9, "end": 1.2},
            {"speaker": "A", "word": "and", "start": 1.08, "end": 1.16},
            {"speaker": "A", "word": "so", "start": 1.24, "end": 1.4},
        ]

    def test_what_is_said_when(self) -> None:
        about = described(*continuation(), SETTINGS, 100)
        settings = about.pop("settings")
        assert (settings["temperature"], settings["seed"]) == (SETTINGS.temperature, SETTINGS.seed)
        assert about == {
            "key": "a",
            "prompt_seconds": 1.0,
            "seconds": 0.04,
            "left": "B",
            "right": "A",
            "partner": "generated",
            "text": "and so",
        }

    def test_all_or_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*arguments: object, **how: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("numpy.save", full)
        with pytest.raises(OSError, match="No space"):
            write_continuation(tmp_path, "a", *continuation(), SETTINGS, 100)
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    def test_nothing_is_replaced(self, tmp_path: Path) -> None:
        refuse_existing(tmp_path / "new", ["a"], (".wav",))
        (tmp_path / "b.json").write_text("{}")
        with pytest.raises(DataError, match=r"b\.json: is there already; give another folder, or remove it"):
            refuse_existing(tmp_path, ["a", "b"], (".wav", ".json"))


@pytest.fixture(scope="module")
def model() -> SpeechModel:
    return voxtune.load(TINY, device="cpu")


class TestPython:
    def test_recordings_folders_and_samples(self, model: SpeechModel, tmp_path: Path) -> None:
        folder_of_dialogues(tmp_path / "words", ["a", "b"])
        path = record_stereo(tmp_path / "c.wav", seed=5)
        found = model.converse([tmp_path / "words", str(path), *read(path)], prompt_seconds=0.8, seconds=0.4)
        assert [item.key for item in found] == ["a", "b", "c", "c"]
        assert torch.equal(found[2].tokens, found[3].tokens)
        (other,) = model.converse(path, prompt_seconds=0.8, seconds=0.4, speaker="B")
        assert torch.equal(other.prompt, found[2].prompt.flip(0))

    def test_what_cannot_be_used_is_raised(self, model: SpeechModel, tmp_path: Path) -> None:
        path = record_stereo(tmp_path / "a.wav", 0.4)
        with pytest.raises(DataError, match=r"a\.wav: lasts 0\.40 s, shorter than the prompt of 10 s"):
            model.converse(path)
        (tmp_path / "a.json").write_text("[{}]")
        with pytest.raises(DataError, match=r"a\.json:1: entry 1\.speaker"):
            model.converse(path, prompt_seconds=0.1)

    def test_verbs(self, model: SpeechModel, tiny_asr_folder: Path) -> None:
        with pytest.raises(VoxtuneError, match="a model of moshi cannot transcribe; it can converse, serve"):
            model.transcribe("a.wav")
        with pytest.raises(VoxtuneError, match="a model of fun_asr_nano cannot converse; it can transcribe"):
            voxtune.load(tiny_asr_folder, device="cpu").converse("a.wav")
        assert voxtune.load("tiny", device="cpu").ready.family.name == "fun_asr_nano"
        assert voxtune.load("tiny", verb="converse", device="cpu").ready.family.name == "moshi"
        with pytest.raises(VoxtuneError, match="moshi cannot transcribe"):
            voxtune.load(TINY, verb="transcribe", device="cpu")
