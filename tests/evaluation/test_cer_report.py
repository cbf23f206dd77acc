"""The report file."""

from __future__ import annotations

from pathlib import Path

import pytest

from voxtune.evaluation.cer_report import display_width, report_lines, write_cer_report
from voxtune.evaluation.compute_wer import compute_wer


def test_the_whole_file(tmp_path: Path) -> None:
    references = {"u2": "我 有 3 个 apple", "u1": "", "gone": "hi"}
    write_cer_report(
        compute_wer(references, {"u2": "我 有 三 个", "u1": "x", "new": "y"}), tmp_path / "out" / "cer.txt"
    )
    rule = "=" * 75
    assert (tmp_path / "out" / "cer.txt").read_text(encoding="utf-8") == (
        "utt: u2\nWER: 40.00 % N=5 Cor=3 Sub=1 Del=1 Ins=0\nref: 我 有 3  个 APPLE\nhyp: 我 有 三 个      \n\n"
        "utt: u1\nWER: 0.00 % N=0 Cor=0 Sub=0 Del=0 Ins=1\nref:  \nhyp: X\n\n"
        "utt: gone\nWER: 100.00 % N=1 Cor=0 Sub=0 Del=1 Ins=0\nref: HI\nhyp:   \n\n"
        f"{rule}\nOverall -> 66.67 % N=6 Cor=3 Sub=1 Del=2 Ins=1\nChinese -> 0.00 % N=3 Cor=3 Sub=0 Del=0 Ins=0\n"
        "Number -> 100.00 % N=1 Cor=0 Sub=1 Del=0 Ins=0\nEnglish -> 150.00 % N=2 Cor=0 Sub=0 Del=2 Ins=1\n"
        f"SER -> 66.67 % N=3 Cor=1 Err=2 ML=1 MH=0\n{rule}\n"
    )


def test_nothing_to_score() -> None:
    lines = list(report_lines(compute_wer({"a": "x"}, {}, align_to_hypotheses=True)))
    assert lines[1:3] == [
        "Overall -> 0.00 % N=0 Cor=0 Sub=0 Del=0 Ins=0",
        "SER -> 0.00 % N=0 Cor=0 Err=0 ML=0 MH=1",
    ]


@pytest.mark.parametrize(("token", "width"), [("", 0), ("abc", 3), ("好", 2), ("é", 2), ("É", 1), ("ｶ", 1), ("ＡB", 3)])
def test_widths(token: str, width: int) -> None:
    assert display_width(token) == width
