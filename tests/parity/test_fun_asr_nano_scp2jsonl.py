"""wav.scp and text to ChatML: the same lines as upstream's tools/scp2jsonl.py, except where it pairs by line number.

Upstream pairs line n with line n, and reports or skips what does not fit. Pairing by line is a bug that we do not
copy: we pair by key in any order, and every key without a partner is an error.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tests.parity.conftest import cases
from tests.parity.tensors import FAMILY, read_json
from voxtune.checking import check
from voxtune.data.formats.lines import Problems
from voxtune.data.manifest import collect_samples, read_samples, write_samples

CASES = cases(FAMILY, "scp2jsonl")


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a case's folder, because paths in the output are relative to it, with its tokenizer beside it."""
    tokenizer = Path("prompt") / "Qwen3-tiny"
    shutil.copytree(request.param.parent / tokenizer, tmp_path / tokenizer)
    return Path(shutil.copytree(request.param, tmp_path / request.param.name))


def lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").split("\n")


def keyed(file: Path) -> dict[str, list[str]]:
    """The rest of each line by its key; an empty list when there is none."""
    return {line.split()[0]: line.split(maxsplit=1)[1:] for line in lines(file) if line.strip()}


def test_what_upstream_converts_is_converted_alike(case: Path) -> None:
    outputs = read_json(case / "outputs.json")
    done = [n for n, output in enumerate(outputs) if output and "success" in output]
    recordings, transcripts = lines(case / "wav.scp"), lines(case / "text.txt")
    (case / "some_wav.scp").write_text("\n".join(recordings[n] for n in done), encoding="utf-8")
    (case / "some_text.txt").write_text("\n".join(transcripts[n] for n in reversed(done)), encoding="utf-8")
    samples = read_samples(case / "some_wav.scp")
    assert [sample.key for sample in samples] == [outputs[n]["utt"] for n in done]
    tokenizer = AutoTokenizer.from_pretrained(case.parent / "prompt" / "Qwen3-tiny")
    write_samples(samples, case / "ours.jsonl", "fun_asr_chatml", lambda text: len(tokenizer.tokenize(text)))
    assert [json.loads(line) for line in lines(case / "ours.jsonl")[:-1]] == [outputs[n]["success"] for n in done]


def test_pairing_is_by_key_and_nothing_is_skipped(case: Path) -> None:
    recordings, transcripts = keyed(case / "wav.scp"), keyed(case / "text.txt")
    problems = Problems()
    samples = collect_samples([case / "wav.scp", case / "text.txt"], None, problems)
    paired = [key for key in recordings if recordings[key] and transcripts.get(key)]
    assert [sample.key for sample in samples] == paired
    reported = " ".join(map(str, problems.errors))
    for key in (recordings.keys() | transcripts.keys()) - set(paired):
        assert f"{key!r}" in reported

    missing = [key for key in paired if not (case / recordings[key][0]).is_file()]
    found = [finding for finding in check({"train": samples}, quick=True).errors if "no such file" in finding.message]
    assert [finding.key for finding in found] == missing
    for output in read_json(case / "outputs.json"):
        if output and output.get("error", "").startswith("WAV not found"):
            assert any(output["error"].rpartition(": ")[2] in finding.message for finding in found)
