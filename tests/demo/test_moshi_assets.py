"""The shipped dialogues are those that the scripts plan, and the built-in tokenizer and codec can carry them."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
import soundfile
import torch
from safetensors.torch import load_file
from sentencepiece import SentencePieceProcessor
from torch import Tensor

from voxtune.parts.mimi import Mimi, MimiConfig

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "src/voxtune/demo/moshi/dialogues"
TINY = ROOT / "src/voxtune/families/moshi/tiny"
CONFIG = json.loads((TINY / "config.json").read_text())


def word_list(split: str, name: str) -> list[dict[str, str | float]]:
    found: list[dict[str, str | float]] = json.loads((SHIPPED / split / "text" / f"{name}.json").read_text())
    return found


def channels(split: str, name: str) -> Tensor:
    waveform, sample_rate = soundfile.read(SHIPPED / split / "audio" / f"{name}.ogg", dtype="float32", always_2d=True)
    assert (sample_rate, waveform.shape[1]) == (24000, 2)
    return torch.from_numpy(waveform.T.copy())


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "demo/moshi")
    import make_dialogues

    return make_dialogues


def test_the_script_plans_the_shipped_dialogues(script: ModuleType) -> None:
    for split, dialogues in script.dialogue_plan(script.SEED).items():
        names = {dialogue.name for dialogue in dialogues}
        assert {path.stem for path in (SHIPPED / split / "audio").iterdir()} == names
        assert {path.stem for path in (SHIPPED / split / "text").iterdir()} == names
        for dialogue in dialogues:
            words = word_list(split, dialogue.name)
            for speaker in "AB":
                said = " ".join(turn.text for turn in dialogue.turns if turn.speaker == speaker).replace(",", "")
                heard = [word["word"] for word in words if word["speaker"] == speaker]
                assert sorted(heard) == sorted(said.split()), dialogue.name


def test_held_out_dialogues_ask_in_a_new_way(script: ModuleType) -> None:
    plan = script.dialogue_plan(script.SEED)
    opening = {split: {tuple(turn.text for turn in each.turns[:2]) for each in plan[split]} for split in plan}
    assert len(opening["validation"]) == 8
    assert not opening["validation"] & opening["train"]


def test_dialogues_are_small_and_their_words_lie_in_the_sound() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*.*")) < 7_500_000
    for split in ("train", "validation"):
        for path in (SHIPPED / split / "audio").iterdir():
            sound = channels(split, path.stem)
            assert sound.shape[1] % 1920 == 0
            for word in word_list(split, path.stem):
                start, end = round(float(word["start"]) * 24000), round(float(word["end"]) * 24000)
                assert 0 <= start < end < sound.shape[1]
                assert sound["AB".index(str(word["speaker"])), start:end].abs().max() > 0.05


def test_every_word_is_one_token() -> None:
    tokenizer = SentencePieceProcessor(model_file=str(TINY / CONFIG["tokenizer_name"]))
    assert tokenizer.get_piece_size() == CONFIG["text_card"]
    assert [tokenizer.unk_id(), tokenizer.bos_id(), tokenizer.eos_id(), tokenizer.pad_id()] == [0, 1, 2, 3]
    words = {
        str(word["word"])
        for split in ("train", "validation")
        for path in (SHIPPED / split / "text").iterdir()
        for word in word_list(split, path.stem)
    }
    assert {word: tokenizer.encode(word) for word in words if len(tokenizer.encode(word)) != 1} == {}
    assert tokenizer.decode(tokenizer.encode("Zoë\n東")) == "Zoë\n東"


@pytest.mark.parametrize("name", ["paris-0", "berlin-0"])
def test_the_codec_keeps_who_speaks_when(name: str) -> None:
    codec = Mimi(MimiConfig.from_dict(json.loads((TINY / CONFIG["mimi_config_name"]).read_text())))
    codec.load_state_dict(load_file(TINY / CONFIG["mimi_name"]))
    sound = channels("validation", name)
    decoded = torch.stack(codec.decode(codec.encode(list(sound))))
    for wanted, given in zip(sound, decoded, strict=True):
        loudness, heard = (waveform.unflatten(0, (-1, 480)).square().mean(1).sqrt() for waveform in (wanted, given))
        assert torch.corrcoef(torch.stack([loudness, heard]))[0, 1] > 0.9
        assert heard[loudness < 1e-4].max() < 0.01
