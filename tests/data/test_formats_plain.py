"""Plain JSON lines, CSV and TSV: optional columns, quoting, and unknown columns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from voxtune.data.formats.lines import Problems
from voxtune.data.manifest import collect_samples, read_samples, write_samples
from voxtune.data.sample import AudioPart, Sample, transcription
from voxtune.errors import DataError


def full(folder: Path) -> Sample:
    part = AudioPart(path=str(folder / "a.wav"), start=1.5, duration=2.0, channel=0)
    fields = {"language": "zh", "text_normalization": False, "hotwords": ["公园", "park"]}
    return transcription("k", part, "one").model_copy(update=fields)


LINE = {
    "key": "k", "audio": "a.wav", "text": "one", "language": "zh", "text_normalization": False,
    "hotwords": ["公园", "park"], "start": 1.5, "duration": 2.0, "channel": 0,
}  # fmt: skip
COLUMNS = "key,audio,text,language,text_normalization,hotwords,start,duration,channel"
CSV = COLUMNS + '\nk,a.wav,one,zh,false,"公园, park",1.5,2,0\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", json.dumps(LINE)),
        ("a.jsonl", json.dumps({**LINE, "hotwords": "公园, park"})),
        ("a.csv", CSV),
        ("a.tsv", CSV.replace('"公园, park"', "公园; park").replace(",", "\t").replace(";", ",")),
    ],
)
def test_all_columns(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_samples(tmp_path / name)[0].model_dump() == full(tmp_path).model_dump()


@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "out.jsonl"])
def test_all_columns_are_written(tmp_path: Path, name: str) -> None:
    samples = [full(tmp_path), transcription("k2", AudioPart(path="https://host/b.wav"), "two")]
    write_samples(samples, tmp_path / name, "plain_jsonl" if name.endswith("l") else None)
    assert [s.model_dump() for s in read_samples(tmp_path / name)] == [s.model_dump() for s in samples]


def test_lines_without_key_lead_back_to_their_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('audio,text\na.wav,"one\ntwo, ""three"""\n\nb.wav,\n')
    first, second = read_samples(tmp_path / "a.csv")
    assert (first.key, first.answer, first.origin) == ("a-2", 'one\ntwo, "three"', f"{tmp_path / 'a.csv'}:2")
    assert (second.key, second.answer, second.origin) == ("a-5", "", f"{tmp_path / 'a.csv'}:5")


def test_a_tsv_keeps_its_quotes(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('audio\ttext\na.wav\t"Go," he said\nb.wav\t"a ""b"""\n')
    with pytest.raises(DataError, match=r'a\.tsv:3: text: TSV is not quoted, found \'"a ""b"""\''):
        read_samples(tmp_path / "a.tsv")
    (tmp_path / "a.tsv").write_text('audio\ttext\na.wav\t"Go," he said\n')
    assert read_samples(tmp_path / "a.tsv")[0].answer == '"Go," he said'


def test_unused_columns_are_noted_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("audio,text,speaker\na.wav,one,x\nb.wav,two,y\n")
    (tmp_path / "b.jsonl").write_text('{"audio": "a.wav", "text": "one"}\n{"audio": "a.wav", "gender": "f"}\n')
    problems = Problems()
    assert len(collect_samples([tmp_path / "a.csv", tmp_path / "b.jsonl"], None, problems)) == 4
    assert problems.errors == []
    assert problems.unused == {(tmp_path / "a.csv", "speaker"): 1, (tmp_path / "b.jsonl", "gender"): 2}


@pytest.mark.parametrize(
    ("column", "complaint"),
    [
        ("langauge", "did you mean 'language'?"),
        ("end", "is not read here"),
        ("duration_ms", "did you mean 'duration'?"),
    ],
)
def test_misleading_columns_are_refused(tmp_path: Path, column: str, complaint: str) -> None:
    (tmp_path / "a.csv").write_text(f"audio,text,{column}\na.wav,one,5\n")
    (tmp_path / "a.jsonl").write_text(f'{{"audio": "a.wav", "text": "one", "{column}": 5}}\n')
    for name in ("a.csv", "a.jsonl"):
        with pytest.raises(DataError, match=rf"{name}:1: {column}: .*{complaint}"):
            read_samples(tmp_path / name)
