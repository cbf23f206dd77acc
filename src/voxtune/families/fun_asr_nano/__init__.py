"""Fun-ASR-Nano: speech recognition by a SAN-M encoder, an adaptor and Qwen3-0.6B."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import torch
from pydantic import BaseModel
from torch import Tensor

from voxtune.data.sample import Sample
from voxtune.errors import RecipeError
from voxtune.families.family import AudioEncoder, Family, Layout, Lora, Model, Output, Settings
from voxtune.families.fun_asr_nano.config import Options
from voxtune.families.source import resolve

if TYPE_CHECKING:
    from voxtune.families.fun_asr_nano.layout import AsrLayout
    from voxtune.families.fun_asr_nano.model import FunAsrNano

TINY = Path(__file__).with_name("tiny")


class FunAsrNanoFamily(Family):
    """Ties the rooms together; those that need transformers are opened when they are used."""

    name = "fun_asr_nano"
    tasks = ("asr",)
    verbs = ("transcribe",)
    targets = ("funasr",)
    options = Options
    parts = {
        "audio_encoder": ("audio_encoder.*",),
        "audio_adaptor": ("audio_adaptor.*",),
        "llm": ("llm.*",),
        "ctc": ("ctc_decoder.*", "ctc.*"),
    }
    lora = Lora(part="llm", targets=("q_proj", "v_proj"))

    def recognises(self, folder: Path) -> bool:
        from voxtune.families.fun_asr_nano.assets import CONFIG
        from voxtune.families.fun_asr_nano.hf_layout import is_hf_folder

        config = folder / CONFIG
        text = config.read_text(encoding="utf-8", errors="replace") if config.is_file() else ""
        return ("audio_encoder_conf" in text and "audio_adaptor_conf" in text) or is_hf_folder(folder)

    def load(self, source: str, options: BaseModel, *, dtype: torch.dtype) -> Model:
        from voxtune.families.fun_asr_nano.checkpoint import PATTERNS, load_folder

        folder = resolve(source, TINY, PATTERNS)
        return load_folder(folder, dtype=dtype, ctc_weight=cast(Options, options).ctc_weight)

    def layout(self, model: Model, options: BaseModel, task: str) -> Layout:
        from voxtune.families.fun_asr_nano.layout import AsrLayout

        if task not in self.tasks:
            raise RecipeError(f"data.task: {task!r}: {self.name} can be trained for {', '.join(self.tasks)}")
        network = cast("FunAsrNano", model)
        if network.assets is None:
            raise ValueError("only a model that was loaded from a folder has a tokenizer")
        assets = network.assets
        return AsrLayout(network.config, cast(Options, options), assets.tokenizer, assets.cmvn, assets.ctc_tokenizer)

    def parts_for(self, hours: float, method: Literal["full", "lora"]) -> list[str]:
        """Upstream's advice (docs/finetune.md of Fun-ASR): below 1000 h the adaptor, below 5000 h encoder and
        adaptor, above 10 000 h everything. It leaves out 5000 to 10 000 h: encoder and adaptor here."""
        if hours < 1000:
            return ["audio_adaptor"]
        if hours <= 10_000:
            return ["audio_encoder", "audio_adaptor"]
        return ["audio_encoder", "audio_adaptor", "llm"]

    def frozen_encoder(self, model: Model, layout: Layout, trained: Collection[str]) -> AudioEncoder | None:
        from voxtune.families.fun_asr_nano.frozen import frozen_encoder

        return frozen_encoder(cast("FunAsrNano", model), cast("AsrLayout", layout), trained)

    def export(self, model: Model, folder: Path, target: str, dtype: torch.dtype | None = None) -> None:
        from voxtune.families.fun_asr_nano.upstream_folder import write_folder

        write_folder(cast("FunAsrNano", model), folder, dtype)

    def generate(
        self, model: Model, layout: Layout, samples: Sequence[tuple[Sample, Sequence[Tensor]]], settings: Settings
    ) -> Iterator[Output]:
        from voxtune.families.fun_asr_nano.generate import generate

        return generate(cast("FunAsrNano", model), cast("AsrLayout", layout), samples, settings)


FAMILY = FunAsrNanoFamily()
