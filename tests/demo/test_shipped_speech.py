"""The shipped data set is the one that the scripts plan, and it keeps the promises of the demo's page."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "src/voxtune/demo/fun_asr_nano"
SPLITS = ["train", "validation", "test_seen", "test_unseen"]


def read_table(name: str) -> dict[str, str]:
    lines = (SHIPPED / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines)


def test_held_out_sentences_are_new_and_their_words_are_known() -> None:
    texts = {split: list(read_table(f"{split}_text.txt").values()) for split in SPLITS}
    held_out = texts["validation"] + texts["test_seen"] + texts["test_unseen"]
    assert len(set(held_out)) == len(held_out)
    assert not set(texts["train"]) & set(held_out)
    trained = " ".join(texts["train"]).split()
    for word in set(" ".join(held_out).split()):
        assert trained.count(word) >= 20, word


@pytest.mark.parametrize("split", SPLITS)
def test_every_key_has_a_readable_file(split: str) -> None:
    paths = read_table(f"{split}_wav.scp")
    assert paths.keys() == read_table(f"{split}_text.txt").keys()
    assert set(paths.values()) == {f"speech/{split}/{path.name}" for path in (SHIPPED / "speech" / split).iterdir()}
    for path in paths.values():
        info = soundfile.info(SHIPPED / path)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "OPUS")
        assert 1 < info.duration < 4


def test_speech_is_small_enough_to_ship() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*.opus")) <= 6_000_000


def test_the_scripts_plan_the_shipped_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "demo/fun_asr_nano")
    import make_speech

    plan = make_speech.plan_harbour()
    make_speech.verify_harbour(plan)
    for split, utterances in plan.items():
        assert {utterance.key: utterance.text for utterance in utterances} == read_table(f"{split}_text.txt")
