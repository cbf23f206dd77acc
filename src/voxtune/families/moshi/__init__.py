"""Moshi and J-Moshi: full-duplex dialogue over the codes of Mimi, with the text of the one that the model plays."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import torch
from pydantic import BaseModel
from torch import Tensor

from voxtune.data.sample import Sample
from voxtune.errors import RecipeError
from voxtune.families.family import (
    AudioEncoder,
    Continuation,
    DialogueSettings,
    Duplex,
    Family,
    Layout,
    Lora,
    Model,
)
from voxtune.families.moshi.config import Options
from voxtune.families.source import resolve

if TYPE_CHECKING:
    from voxtune.families.moshi.layout import MoshiLayout
    from voxtune.families.moshi.model import Moshi

TINY = Path(__file__).with_name("tiny")


class MoshiFamily(Family):
    """Ties the rooms together."""

    name = "moshi"
    tasks = ("dialogue",)
    verbs = ("converse", "serve")
    targets = ("moshi.server", "moshi-finetune")
    options = Options
    parts = {
        "lm": ("*",),
        "temporal": ("emb.*", "text_emb.*", "transformer.*", "out_norm.*", "text_linear.*"),
        "depth": ("depformer*", "linears.*"),
        "embeddings": ("emb.*", "text_emb.*", "depformer_emb.*", "depformer_text_emb.*"),
        "text_embedding": ("text_emb.*", "depformer_text_emb.*"),
    }
    lora = Lora(
        part="lm",
        targets=("in_proj", "out_proj", "linear_in", "linear_out", "text_linear", "depformer_in", "linears"),
    )

    def recognises(self, folder: Path) -> bool:
        from voxtune.families.moshi.checkpoint import is_moshi_folder

        return is_moshi_folder(folder)

    def load(self, source: str, options: BaseModel, *, dtype: torch.dtype) -> Model:
        from voxtune.families.moshi.checkpoint import PATTERNS, load_folder

        return load_folder(resolve(source, TINY, PATTERNS), cast(Options, options), dtype=dtype)

    def exported(self, options: BaseModel) -> BaseModel:
        changes = {"extend_for_user_stream": False, "new_text_embeddings": False, "tokenizer": None, "codec": None}
        return options.model_copy(update=changes)

    def layout(self, model: Model, options: BaseModel, task: str) -> Layout:
        from voxtune.families.moshi.layout import MoshiLayout

        if task not in self.tasks:
            raise RecipeError(f"data.task: {task!r}: {self.name} can be trained for {', '.join(self.tasks)}")
        network = cast("Moshi", model)
        if network.assets is None:
            raise ValueError("only a model that was loaded from a folder has a codec and a tokenizer")
        return MoshiLayout(network.config, cast(Options, options), network.assets)

    def parts_for(self, hours: float, method: Literal["full", "lora"]) -> list[str]:
        """Both of upstream's fine-tuners: everything, or only the adapters."""
        return ["temporal", "depth"] if method == "full" else []

    def frozen_encoder(self, model: Model, layout: Layout, trained: Collection[str]) -> AudioEncoder | None:
        from voxtune.families.moshi.frozen import CodecEncoder

        return CodecEncoder(cast("MoshiLayout", layout).assets.codec, next(model.parameters()).device)

    def export(self, model: Model, folder: Path, target: str, dtype: torch.dtype | None = None) -> None:
        from voxtune.families.moshi.upstream_folder import write_folder

        write_folder(cast("Moshi", model), folder, target, dtype)

    def converse(
        self,
        model: Model,
        layout: Layout,
        samples: Sequence[tuple[Sample, Sequence[Tensor]]],
        settings: DialogueSettings,
    ) -> Iterator[Continuation]:
        from voxtune.families.moshi.generate import converse

        return converse(cast("Moshi", model), cast("MoshiLayout", layout), samples, settings)

    def sound(self, model: Model, layout: Layout, tokens: Tensor) -> Tensor:
        from voxtune.families.moshi.generate import sound

        return sound(cast("Moshi", model), cast("MoshiLayout", layout), tokens)

    def duplex(self, model: Model, layout: Layout, settings: DialogueSettings) -> Duplex:
        from voxtune.families.moshi.duplex import MoshiDuplex

        return MoshiDuplex(cast("Moshi", model), cast("MoshiLayout", layout), settings)


FAMILY = MoshiFamily()
