"""The data of a run: samples, weights, lengths and sizes belong together, also when some are left out."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import TinyAsr
from tests.helpers.speech import recipe, write_corpus
from voxtune.data.audio import probe
from voxtune.training.corpus import read_corpora


def test_what_is_left_keeps_its_weight_length_and_size(tmp_path: Path, tiny_asr: TinyAsr) -> None:
    sources = [
        {"path": str(write_corpus(tmp_path, 4)), "weight": 1.0},
        {"path": str(write_corpus(tmp_path, 3, name="more", seed=1)), "weight": 0.5},
    ]
    write_corpus(tmp_path, 2, name="validation", seed=2)
    for broken in ("train/train001", "more/more000", "validation/validation000"):
        (tmp_path / f"{broken}.wav").write_bytes(b"no sound")
    made = recipe(tmp_path, "tiny", data={"train": sources, "skip_bad": True})

    train, validation = read_corpora(made, tiny_asr.layout, tmp_path / "skipped.jsonl")
    assert [sample.key for sample in train.samples] == ["train000", "train002", "train003", "more001", "more002"]
    assert train.weights == [1.0, 1.0, 1.0, 0.5, 0.5]
    assert [sample.key for sample in validation.samples] == ["validation001"]
    for corpus in (train, validation):
        lengths = [[probe(part).seconds for part in sample.audio] for sample in corpus.samples]
        assert [size.seconds for size in corpus.sizes] == [sum(seconds) for seconds in lengths]
        sizes = [tiny_asr.layout.size(sample, s) for sample, s in zip(corpus.samples, lengths, strict=True)]
        assert corpus.sizes == sizes
    assert len((tmp_path / "skipped.jsonl").read_text().splitlines()) == 3
