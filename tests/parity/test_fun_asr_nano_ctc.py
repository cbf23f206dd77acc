"""The CTC branch: log-probabilities, greedy reading and forced alignment."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.parity.conftest import cases
from tests.parity.tensors import FAMILY, assert_close, read_json, read_tensors, segments, valid
from voxtune.families.fun_asr_nano.model import CtcHead
from voxtune.parts.ctc import AlignedToken, align, greedy
from voxtune.parts.transformer_adaptor import AdaptorConfig, TransformerAdaptor

TOLERANCE = 2e-4
SCORE_TOLERANCE = 2e-3
SECONDS_PER_FRAME = 0.06


def log_probs(folder: Path) -> tuple[Tensor, list[Tensor]]:
    """Decoder output and, per row, CTC log-probabilities [frames, classes]."""
    config, inputs, weights = (
        read_json(folder / "config.json"),
        read_tensors(folder, "inputs"),
        read_tensors(folder, "weights"),
    )
    sizes = config["ctc_decoder_conf"]
    names = ("downsample_rate", "encoder_dim", "llm_dim", "ffn_dim", "n_layer", "attention_heads")
    decoder = TransformerAdaptor(AdaptorConfig(**{name: sizes[name] for name in names if name in sizes}))
    head = CtcHead(sizes["llm_dim"], config["ctc_vocab_size"])
    for module, prefix in ((decoder, "ctc_decoder."), (head, "ctc.")):
        module.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
        module.eval()
    lengths = inputs["encoder_out_lens"].tolist()
    with torch.no_grad():
        decoded, grouped = decoder(valid(inputs["encoder_out"], lengths), segments(lengths))
        return decoded, list(head(decoded).split(grouped.lengths))


def assert_our_rule(aligned: list[AlignedToken], targets: list[int], probabilities: Tensor) -> None:
    """The path reads as the targets: in order, inside the recording, a blank between equal neighbours."""
    assert [item.token for item in aligned] == targets
    end = 0
    for before, item in zip([None, *aligned], aligned, strict=False):
        gap = 1 if before and before.token == item.token else 0
        assert end + gap <= item.start < item.end <= len(probabilities)
        best = probabilities[item.start : item.end, item.token].max().item()
        assert item.score == pytest.approx(best, abs=1e-6)
        end = item.end


def assert_as_recorded(aligned: list[AlignedToken], recorded: list[dict[str, Any]], unit: float) -> None:
    assert [item.token for item in aligned] == [item["token"] for item in recorded]
    for ours, theirs in zip(aligned, recorded, strict=True):
        times = (ours.start * unit, ours.end * unit)
        assert times == pytest.approx((theirs["start_time"], theirs["end_time"]), abs=1e-6)
        assert ours.score == pytest.approx(theirs["score"], abs=SCORE_TOLERANCE)


@pytest.mark.parametrize("folder", cases(FAMILY, "ctc"), ids=lambda folder: folder.name)
class TestCtc:
    def test_log_probs(self, folder: Path) -> None:
        outputs = read_tensors(folder, "outputs")
        lengths = outputs["decoder_out_lens"].tolist()
        decoded, rows = log_probs(folder)
        assert [len(row) for row in rows] == lengths
        assert_close(decoded, valid(outputs["decoder_out"], lengths), TOLERANCE, "decoder_out")
        assert_close(torch.cat(rows), valid(outputs["log_probs"], lengths), TOLERANCE, "log_probs")

    def test_greedy(self, folder: Path) -> None:
        blank = read_json(folder / "config.json")["blank_id"]
        for row, expected in zip(log_probs(folder)[1], read_json(folder / "outputs.json"), strict=True):
            assert row.argmax(-1).tolist() == expected["argmax"]
            assert greedy(row, blank) == expected["greedy_tokens"]

    @pytest.mark.parametrize(("kind", "target"), [("greedy", "greedy_tokens"), ("other", "align_targets")])
    def test_alignment(self, folder: Path, kind: str, target: str) -> None:
        """Upstream's function swallows every error and gives an empty list, also where an alignment exists: all
        lists of this recording are empty. A list that is not is compared; an empty one is held to our rule."""
        blank = read_json(folder / "config.json")["blank_id"]
        for row, expected in zip(log_probs(folder)[1], read_json(folder / "outputs.json"), strict=True):
            aligned = align(row, expected[target], blank)
            assert_our_rule(aligned, expected[target], row.exp())
            for recorded, unit in ((f"align_{kind}_frames", 1.0), (f"align_{kind}_seconds", SECONDS_PER_FRAME)):
                if expected[recorded]:
                    assert_as_recorded(aligned, expected[recorded], unit)

    def test_greedy_alignment_is_the_most_probable_path(self, folder: Path) -> None:
        """Aligning what was read greedily gives back the frames where it was read."""
        blank = read_json(folder / "config.json")["blank_id"]
        for row in log_probs(folder)[1]:
            runs = [list(run) for _, run in groupby(enumerate(row.argmax(-1).tolist()), key=lambda item: item[1])]
            read = [(run[0][1], run[0][0], run[-1][0] + 1) for run in runs if run[0][1] != blank]
            aligned = align(row, greedy(row, blank), blank)
            assert [(item.token, item.start, item.end) for item in aligned] == read

    def test_too_many_targets(self, folder: Path) -> None:
        """Upstream gives an empty list; ours says why there is no alignment."""
        config, expected = read_json(folder / "config.json"), read_json(folder / "outputs.json")
        for row, case in zip(log_probs(folder)[1], expected, strict=True):
            assert case["align_too_long"] == []
            targets = [token % config["blank_id"] for token in range(len(row) + 1)]
            with pytest.raises(ValueError, match=f"there are {len(row)}"):
                align(row, targets, config["blank_id"])
