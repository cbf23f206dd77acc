"""`voxtune evaluate`, from files to files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from voxtune.cli.main import main


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "ref.txt").write_text("u1\t今天天气很好。\nu2 我有3个苹果\nu3 再见\n", encoding="utf-8")
    (tmp_path / "hyp.txt").write_text("u2 我有三个苹果\nu1 今天天气真好\nu9 多余\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def evaluate(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line; its exit code."""
    monkeypatch.setattr(sys, "argv", ["voxtune", "evaluate", *arguments])
    with pytest.raises(SystemExit) as finished:
        main()
    return int(finished.value.code or 0)


INPUTS = ("--ref", "ref.txt", "--hyp", "hyp.txt")


def test_prints_both_rates_and_writes_both_files(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(monkeypatch, *INPUTS, "--lang", "zh", "--report", "cer.txt", "--json", "out/result.json") == 0
    printed = capsys.readouterr()
    assert "ref.txt:3: 'u3' has no hypothesis: counted as deleted" in printed.err
    assert "hyp.txt:3: 'u9' has no reference: left out" in printed.err
    assert "21.43%" in printed.out
    assert "28.57%" in printed.out
    assert "u3: 2 errors in 2\n  ref 再见\n  hyp" in printed.out
    report = (files / "cer.txt").read_text(encoding="utf-8")
    assert report.startswith("utt: u1\nWER: 16.67 % N=6 Cor=5 Sub=1 Del=0 Ins=0\nref: 今 天 天 气 很 好\n")
    assert "\nOverall -> 21.43 % N=14 Cor=11 Sub=1 Del=2 Ins=0\n" in report
    result = json.loads((files / "out" / "result.json").read_text(encoding="utf-8"))
    assert result["upstream"]["rate"] == pytest.approx(3 / 14)
    modern = result["modern"]
    assert (modern["unit"], modern["substitutions"], modern["deletions"], modern["reference_length"]) == (
        "char",
        2,
        2,
        14,
    )
    assert modern["low"] <= modern["rate"] <= modern["high"]
    assert (result["missing_hypotheses"], result["extra_hypotheses"]) == (["u3"], ["u9"])
    utterances = {utterance["key"]: utterance for utterance in result["utterances"]}
    assert list(utterances) == ["u1", "u2", "u3"]
    assert ["substitute", "很", "真"] in utterances["u1"]["alignment"]
    assert utterances["u3"]["rate"] == 1.0


def test_without_normalisation_texts_count_as_they_are(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(monkeypatch, *INPUTS, "--lang", "zh", "--no-normalize", "--json", "result.json") == 0
    result = json.loads((files / "result.json").read_text(encoding="utf-8"))
    assert result["upstream"]["reference_length"] == result["modern"]["reference_length"] == 15
    assert result["upstream"]["substitutions"] == 2
    assert result["upstream"]["deletions"] == 3


def test_words_are_counted_in_english(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "ref.txt").write_text("a The colour, please!\n", encoding="utf-8")
    (files / "hyp.txt").write_text("a the color please\n", encoding="utf-8")
    assert evaluate(monkeypatch, *INPUTS, "--lang", "en", "--json", "result.json") == 0
    result = json.loads((files / "result.json").read_text(encoding="utf-8"))
    assert result["upstream"]["rate"] == 0.0
    assert (result["modern"]["unit"], result["modern"]["rate"]) == ("word", pytest.approx(1 / 3))


def test_many_missing_keys_are_summed_up(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "ref.txt").write_text("".join(f"k{number} text\n" for number in range(40)), encoding="utf-8")
    (files / "hyp.txt").write_text("k0 text\n", encoding="utf-8")
    assert evaluate(monkeypatch, *INPUTS, "--lang", "en") == 0
    warnings = capsys.readouterr().err
    assert warnings.count("has no hypothesis") == 10
    assert "and 29 more; --json FILE lists all" in warnings


@pytest.mark.parametrize(
    ("reference", "hypothesis", "options", "message"),
    [
        (b"a x\na y\n", b"a x\n", (), "ref.txt:2: key 'a' is on line 1 already"),
        (b"a x\n", b"a \xff\n", (), "hyp.txt:1: not UTF-8 text"),
        (b"", b"a x\n", (), "ref.txt: no utterance in it"),
        (b"a x\n", b"b x\n", (), "hyp.txt: none of its keys is in ref.txt"),
        (b"a ...\nb\n", b"a x\n", (), "the references hold no words"),
        (b"a x\nb y\n", b"a x\nb " + b"9" * 5000, (), "hyp.txt:2: Whisper's normaliser cannot read '9999"),
        (b"a x\n", b"a x\n", ("--lang", "Klingon"), "'Klingon' is not a language code"),
        (b"a x\n", b"a x\n", ("--lang", "jp"), "use 'ja'"),
        (b"a x\n", b"a x\n", ("--hyp", "nowhere.txt"), "nowhere.txt: cannot be read"),
        (b"a x\n", b"a x\n", ("--report", "ref.txt"), "ref.txt is an input and would be overwritten"),
        (b"a x\n", b"a x\n", ("--json", "hyp.txt"), "hyp.txt is an input and would be overwritten"),
        (b"a x\n", b"a x\n", ("--report", "folder"), "folder: cannot be written"),
        (b"a x\n", b"a x\n", ("--json", "ref.txt/below.json"), "ref.txt/below.json: cannot be written"),
    ],
)
def test_hostile_input_gives_one_clear_message(
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    reference: bytes,
    hypothesis: bytes,
    options: tuple[str, ...],
    message: str,
) -> None:
    (files / "ref.txt").write_bytes(reference)
    (files / "hyp.txt").write_bytes(hypothesis)
    (files / "folder").mkdir()
    assert evaluate(monkeypatch, *INPUTS, "--lang", "en", *options) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert (files / "ref.txt").read_bytes() == reference
    assert (files / "hyp.txt").read_bytes() == hypothesis
    assert sorted(path.name for path in files.iterdir()) == ["folder", "hyp.txt", "ref.txt"]


def test_katakana_without_its_package_says_what_to_install(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyopenjtalk", None)
    assert evaluate(monkeypatch, *INPUTS, "--lang", "ja", "--kana") == 1
    assert "pip install 'voxtune[japanese]'" in capsys.readouterr().err
