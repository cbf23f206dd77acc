"""Checking two-speaker dialogues: their channels, the times of their words, their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.recordings import record, tone
from voxtune.checking import Finding, check, check_files, split_bad
from voxtune.data.encoded import write_encoded_npz, write_encoded_parquet
from voxtune.data.manifest import read_samples
from voxtune.data.sample import AudioPart, Dialogue, Sample, Word

SECONDS = 3.0
RATE = 16000
SAID = [("A", "hello", 0.2, 0.6), ("B", "hi", 0.9, 1.2), ("A", "how are you", 1.5, 2.2)]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXTUNE_CACHE", str(tmp_path / "cache"))


def channel(seed: int, seconds: float = SECONDS, **how: float) -> Any:
    return tone(seconds, RATE, seed=seed, **how)


def stereo(path: Path, *channels: Any) -> AudioPart:
    return AudioPart(path=str(record(path, np.stack(channels, 1), RATE)))


def said(*words: tuple[str, str, float, float]) -> list[Word]:
    return [Word.model_validate({"speaker": s, "text": t, "start": b, "end": e}) for s, t, b, e in words]


def dialogue(folder: Path, number: int = 1, words: Sequence[Any] = SAID, **fields: Any) -> Sample:
    """A dialogue in one stereo file of its own."""
    audio = [stereo(folder / f"d{number}.wav", channel(2 * number), channel(2 * number + 1))]
    made = Dialogue(audio=audio, words=said(*words), **fields)
    return Sample(key=f"d{number}", dialogue=made).at(folder / f"d{number}.json", 1)


def messages(findings: Sequence[Finding]) -> list[str]:
    return [f"{finding.key} {finding.field}: {finding.message}" for finding in findings]


def test_good_dialogues_have_no_findings(tmp_path: Path) -> None:
    two = [
        AudioPart(path=str(record(tmp_path / f"{name}.wav", channel(seed), RATE)))
        for name, seed in (("a", 8), ("b", 9))
    ]
    samples = [dialogue(tmp_path, 1), dialogue(tmp_path, 2)]
    samples.append(Sample(key="two", dialogue=Dialogue(audio=two, words=said(*SAID))))
    for quick in (True, False):
        report = check({"train": samples}, quick=quick)
        assert messages(report.errors + report.warnings) == []
        assert report.statistics["train"].hours == pytest.approx(3 * SECONDS / 3600)


def test_a_dialogue_needs_two_channels(tmp_path: Path) -> None:
    mono = Sample(key="m", dialogue=Dialogue(audio=[AudioPart(path=str(record(tmp_path / "m.wav", channel(1), RATE)))]))
    for quick in (True, False):
        report = check({"train": [mono]}, quick=quick)
        assert messages(report.errors) == [
            f"m audio: {tmp_path}/m.wav: one channel; a dialogue needs two channels, left A and right B, or a file for "
            "each speaker"
        ]
        assert report.measurements["train"] == [None]


def test_one_sound_in_both_channels(tmp_path: Path) -> None:
    doubled = Dialogue(audio=[stereo(tmp_path / "d.wav", channel(1), channel(1))], words=said(*SAID))
    errors = check({"train": [Sample(key="d", dialogue=doubled)]}).errors
    assert messages(errors) == [
        f"d audio: {tmp_path}/d.wav: A and B are the same sound; a dialogue needs two channels, left A and right B, or "
        "a file for each speaker"
    ]


def test_more_channels_than_speakers(tmp_path: Path) -> None:
    many = Dialogue(audio=[stereo(tmp_path / "d.wav", channel(1), channel(2), channel(3))], words=said(*SAID))
    report = check({"train": [Sample(key="d", dialogue=many)]})
    assert report.errors == []
    assert messages(report.warnings) == [f"d audio: {tmp_path}/d.wav: 3 channels, only the first two are heard"]


@pytest.mark.parametrize(("longer", "complaints"), [(0.05, 0), (0.2, 1)])
def test_two_files_must_be_equally_long(tmp_path: Path, longer: float, complaints: int) -> None:
    files = [
        record(tmp_path / "a.wav", channel(1), RATE),
        record(tmp_path / "b.wav", channel(2, SECONDS + longer), RATE),
    ]
    both = Dialogue(audio=[AudioPart(path=str(file)) for file in files], words=said(*SAID))
    errors = check({"train": [Sample(key="d", dialogue=both)]}, quick=True).errors
    assert (
        messages(errors)
        == [f"d audio: A lasts 3.00 s and B {SECONDS + longer:.2f} s; they are heard at once, cut or fill one"][
            :complaints
        ]
    )


def test_a_missing_file_is_one_error(tmp_path: Path) -> None:
    gone = Sample(key="d", dialogue=Dialogue(audio=[AudioPart(path=str(tmp_path / "d.wav"))]))
    assert messages(check({"train": [gone]}, quick=True).errors) == [
        f"d audio: {tmp_path}/d.wav: no such file; correct the path"
    ]
    record(tmp_path / "a.wav", channel(1), RATE)
    half = Dialogue(audio=[AudioPart(path=str(tmp_path / f"{name}.wav")) for name in "ab"])
    assert messages(check({"train": [Sample(key="d", dialogue=half)]}, quick=True).errors) == [
        f"d audio: {tmp_path}/b.wav: no such file; correct the path"
    ]


def test_a_silent_channel_says_whose_it_is(tmp_path: Path) -> None:
    audio = [stereo(tmp_path / "d.wav", channel(1), channel(2, level=0))]
    silent = Dialogue(audio=audio, words=said(*SAID))
    report = check({"train": [Sample(key="d", dialogue=silent)]})
    expected = f"d audio: {tmp_path}/d.wav: speaker B: silence, the loudest sample is at -inf dB; remove it"
    assert messages(report.errors) == [expected]
    listening = Dialogue(audio=audio, words=said(SAID[0]))
    report = check({"train": [Sample(key="d", dialogue=listening)]})
    assert report.errors == []
    assert messages(report.warnings) == [expected]


WORDS: dict[str, tuple[list[tuple[str, str, float, float]], str, str]] = {
    "negative": (
        [("A", "x", -0.1, 0.2)],
        "error",
        "1 of 1 words of A (the first: 'x' at -0.10 s) begin before 0 s; correct their times",
    ),
    "backwards": (
        [("A", "x", 1, 0.5)],
        "error",
        "1 of 1 words of A (the first: 'x' at 1.00 s) end before they begin; correct their times",
    ),
    "after the end": (
        [("A", "x", 1, 2), ("B", "z", 2.0, 2.2), ("B", "y", 3.1, 3.4)],
        "error",
        "1 of 2 words of B (the first: 'y' at 3.10 s) begin after the end of the recording at 3.00 s; do words and "
        "recording belong together?",
    ),
    "over the end": (
        [("A", "x", 2.5, 3.2)],
        "warning",
        "1 of 1 words of A (the first: 'x' at 2.50 s) end after the end of the recording at 3.00 s",
    ),
    "no length": ([("A", "x", 1, 1)], "warning", "1 of 1 words of A (the first: 'x' at 1.00 s) have no length"),
    "empty": (
        [("A", "x", 1, 1.2), ("A", " ", 1.5, 1.6)],
        "warning",
        "1 of 2 words of A (the first: ' ' at 1.50 s) are empty",
    ),
    "overlap": (
        [("A", "x", 0.5, 1.5), ("A", "y", 1.0, 1.6), ("B", "z", 0.6, 1.4)],
        "warning",
        "1 of 2 words of A (the first: 'x' at 0.50 s) go on while the next one begins",
    ),
    "unsorted": (
        [("A", "x", 2.0, 2.2), ("A", "y", 1.0, 1.6)],
        "warning",
        "1 of 2 words of A (the first: 'x' at 2.00 s) come before one that begins earlier; they are sorted by their "
        "start",
    ),
    "fast": (
        [("A", "internationalisation", 1.0, 1.1), ("A", "x", 1.5, 1.6)],
        "warning",
        "105.0 letters a second of speech of A is faster than anyone speaks; are the times right?",
    ),
    "encoding": (
        [("A", "caf\ufffd", 1.0, 1.1)],
        "warning",
        "U+FFFD in 'caf\ufffd': a sign of a wrong encoding; correct it",
    ),
}


@pytest.mark.parametrize("name", WORDS)
def test_words(tmp_path: Path, name: str) -> None:
    words, severity, message = WORDS[name]
    report = check({"train": [dialogue(tmp_path, words=words)]}, quick=True)
    found = [f for f in report.errors + report.warnings if "has no words" not in f.message]
    assert [(finding.severity, finding.message) for finding in found] == [(severity, message)]
    assert str(found[0]).startswith(f"{tmp_path}/d1.json:1: ")


def test_words_within_a_frame_of_each_other_are_no_overlap(tmp_path: Path) -> None:
    words = [("A", "x", 0.5, 1.05), ("A", "y", 1.0, 1.6), ("B", "z", 2.9, 3.05)]
    report = check({"train": [dialogue(tmp_path, words=words)]}, quick=True)
    assert messages(report.errors + report.warnings) == []


def test_a_speaker_without_words(tmp_path: Path) -> None:
    only_a = [word for word in SAID if word[0] == "A"]
    annotated = [dialogue(tmp_path, n, only_a) for n in (1, 2)]
    assert check({"train": annotated}, quick=True).warnings == []
    mixed = [*annotated, dialogue(tmp_path, 3)]
    warnings = check({"train": mixed}, quick=True).warnings
    assert messages(warnings) == [f"d{n} words: B has no words; is the list complete?" for n in (1, 2)]
    played = dialogue(tmp_path, 4, only_a, main="B")
    assert messages(check({"train": [played]}, quick=True).warnings) == [
        "d4 words: B has no words; is the list complete?"
    ]


def test_dialogues_that_are_there_twice(tmp_path: Path) -> None:
    first = dialogue(tmp_path, 1)
    (tmp_path / "copy.wav").write_bytes((tmp_path / "d1.wav").read_bytes())
    copy = Dialogue(audio=[AudioPart(path=str(tmp_path / "copy.wav"))], words=said(*SAID))
    twice = Sample(key="copy", dialogue=copy)
    other_side = Sample(key="side", dialogue=copy.model_copy(update={"main": "B"}))
    other_words = Sample(key="words", dialogue=copy.model_copy(update={"words": said(SAID[1], SAID[2])}))
    report = check({"train": [first, twice, other_side, other_words]})
    assert messages(report.warnings) == [
        f"copy audio: the same audio and text as {first.origin}; it counts twice",
        f"words text: the same audio as {first.origin} with another text; one of them is wrong",
    ]
    leaks = check({"train": [first], "validation": [twice]}).errors
    assert {f.message for f in leaks} == {"the same audio is in validation (sample 'copy'); keep it in one of them"}
    assert {f.key for f in leaks} == {"d1"}


def tokens(seed: int, frames: int = 20, text: int = 20) -> np.ndarray:
    made = np.random.default_rng(seed).integers(4, 2000, (9, frames))
    made[0, text:] = 3
    return made


def test_good_tokens_have_no_findings(tmp_path: Path) -> None:
    rows = [(f"x/d{n}", tokens(2 * n), tokens(2 * n + 1)) for n in range(5)]
    files = write_encoded_parquet(rows, tmp_path / "train", 5)
    for quick in (True, False):
        report = check_files(files, quick=quick)
        assert messages(report.errors + report.warnings) == []
        assert report.statistics["data"].hours == pytest.approx(5 * 20 / 12.5 / 3600)
        assert report.statistics["data"].sample_rates == {}


def test_negative_tokens(tmp_path: Path) -> None:
    bad = tokens(1)
    bad[3, 7] = -4
    files = write_encoded_parquet([("d1", tokens(2), tokens(3)), ("d2", tokens(4), bad)], tmp_path / "train", 2)
    report = check_files(files)
    assert [str(error) for error in report.errors] == [
        f"{files[0]}:2: encoded: {files[0]}:2: B: codebook 3, frame 7: tokens count from 0, found -4; make it again"
    ]
    samples = read_samples(files)
    good, skipped = split_bad(samples, report)
    assert ([s.key for s in good], [s.key for s in skipped]) == (["d1"], ["d2"])
    assert report.measurements["data"][1] is None


def test_text_that_is_cut(tmp_path: Path) -> None:
    folders = write_encoded_npz(tmp_path, [("d", tokens(1), tokens(2))])
    text = tokens(3, 25, 25)[0]
    text[22:] = 3
    np.savez_compressed(tmp_path / "tokenized_text" / "d.npz", A=text, B=text[:5])
    report = check_files(folders)
    assert report.errors == []
    assert messages(report.warnings) == [
        "d encoded: 2 text tokens of A come after the last of 20 frames of codes and are cut"
    ]


def test_tokens_without_text(tmp_path: Path) -> None:
    rows = [("d1", tokens(1, text=0), tokens(2)), ("d2", tokens(3), tokens(4))]
    files = write_encoded_parquet(rows, tmp_path / "train", 2)
    assert messages(check_files(files).warnings) == ["d1 words: A has no words; is the list complete?"]
    assert check_files(files, quick=True).warnings == []


def test_tokens_that_are_there_twice(tmp_path: Path) -> None:
    row = tokens(1), tokens(2)
    train = read_samples(write_encoded_parquet([("d1", *row), ("d2", *row)], tmp_path / "train", 2))
    validation = read_samples(write_encoded_npz(tmp_path, [("v", *row)]))
    report = check({"train": train})
    assert messages(report.warnings) == [f"d2 audio: the same audio and text as {train[0].origin}; it counts twice"]
    leaks = check({"train": train[:1], "validation": validation}).errors
    assert messages(leaks) == [
        f"d1 audio: the same audio is in validation ({validation[0].origin}); keep it in one of them"
    ]
    assert check({"train": train, "validation": validation}, quick=True).errors == []
    assert len(check({"train": train[:1], "validation": train[:1]}, quick=True).errors) == 1
