"""Our sides of the benchmarks of dialogues, and upstream's where its environment is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import dialogue_encoding, dialogue_training
from benchmarks.upstream_process import Upstream
from tests.upstream.environments import environment
from voxtune.families.moshi import TINY


def test_codes_are_compared_one_by_one(tmp_path: Path) -> None:
    audio = tmp_path / "audio"
    dialogue_encoding.write_recordings(audio, [1.0, 2.0], 8000)
    ours = dialogue_encoding.Ours(audio)
    assert ours.run(tmp_path / "cache") > 0
    codes = ours.codes(tmp_path / "cache")
    assert [both[0].shape for both in codes.values()] == [(8, 13), (8, 25)]
    for name, (a, b) in codes.items():
        np.savez(tmp_path / f"{name}.npz", A=a, B=b)
    assert dialogue_encoding.compare(codes, tmp_path).tolist() == [2 * 8 * 38, 2 * 8 * 38]
    a, b = codes["000"]
    np.savez(tmp_path / "000.npz", A=a + 1, B=b)
    assert dialogue_encoding.compare(codes, tmp_path).tolist() == [2 * 8 * 38 - 8 * 13, 2 * 8 * 38]
    np.savez(tmp_path / "000.npz", A=a[:, 1:], B=b)
    with pytest.raises(ValueError, match="000: "):
        dialogue_encoding.compare(codes, tmp_path)


def test_training_sees_every_frame_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialogue_training, "LONGEST_ROW", 200)
    _, data, tokens_per_step = dialogue_training.write_data(tmp_path, 9)
    ours = dialogue_training.Ours(data, tokens_per_step)
    columns = dialogue_training.write_dialogues(tmp_path / "again", 9, 400, 256, 8)[1]
    assert max(columns) > 200
    assert sum(sum(batch.lengths) for batch in ours.batches(0)) - ours.repeated == sum(columns)
    assert ours.repeated > 0
    assert ours.epoch(ours.batches(0)[:1]) > 0
    assert 0 < ours.first_loss() < 100


@pytest.mark.upstream
def test_upstream_makes_the_same_codes(tmp_path: Path) -> None:
    with Upstream(environment("moshi"), "benchmarks.upstream_encoding", TINY) as upstream:
        measured = dialogue_encoding.measure([1.0, 2.5], 8000, tmp_path, upstream)
    # Where two rows of a codebook are equally near, another order of sums takes the other one.
    assert measured.codes[0] >= 0.98 * measured.codes[1]
    assert measured.upstream > 0 and measured.ours > 0
