"""In upstream's environment: the training step of nu-dialogue/moshi-finetune, from a clone of that repository.

Its own dataset preparation, random padded batches, model and loss. The optimiser is torch's AdamW in place of
DeepSpeed's, with the same settings; `deepspeed` itself is an empty module.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import Any

import accelerate.utils
import datasets
import torch
from accelerate.utils.deepspeed import DummyOptim, DummyScheduler
from torch.utils.data import DataLoader

from benchmarks.memory import peak_gb
from benchmarks.upstream_process import answer

LOSS_WEIGHTS = {"text_padding_loss_weight": 0.5, "semantic_loss_weight": 100.0, "acoustic_loss_weight": 1.0}


class FineTuner:
    """A model in the fine-tuning layout, and a parquet file of dialogues."""

    def __init__(self, clone: Path, model: Path, data: Path, batch_size: int, max_length: int) -> None:
        sys.modules["deepspeed"] = ModuleType("deepspeed")
        # Without deepspeed accelerate does not give these two, which upstream's script imports and we do not use.
        accelerate.utils.DummyOptim, accelerate.utils.DummyScheduler = DummyOptim, DummyScheduler
        sys.path.insert(0, str(clone))
        from finetune import forward
        from models import MoshiForFinetuning
        from utils import DataCollator, preprocess_function

        datasets.disable_progress_bars()
        self.forward, self.batch_size = forward, batch_size
        self.args = Namespace(model_user_stream=True, **LOSS_WEIGHTS)
        self.model = lm = MoshiForFinetuning.from_pretrained(str(model), dtype=torch.float32).train()
        codebooks = lm.num_audio_codebooks
        settings = {
            "speakers": ["A"],
            "max_length": max_length,
            "min_length": None,
            "delays": lm.delays,
            "initial_token_ids": [lm.text_initial_token_id] + [lm.initial_token_id] * codebooks,
            "padding_token_ids": [lm.text_padding_token_id] + [lm.initial_token_id] * codebooks,
            "zero_token_id": lm.zero_token_id,
        }
        dialogues = datasets.Dataset.from_parquet(str(data), cache_dir=str(data.parent / "datasets"))
        self.rows = dialogues.map(
            preprocess_function, batched=True, remove_columns=dialogues.column_names, fn_kwargs=settings
        )
        self.collate = DataCollator(zero_token_id=lm.zero_token_id)
        self.optimizer = torch.optim.AdamW(
            lm.parameters(), lr=3e-5, betas=(0.9, 0.95), eps=1e-5, weight_decay=0.1, fused=True
        )

    def run(self, request: dict[str, Any]) -> Any:
        """first_loss: of the first rows as one batch; peak: GB of an epoch; epoch: its seconds, rows and places."""
        if request["do"] == "first_loss":
            batch = self.collate([self.rows[number] for number in range(self.batch_size)])
            with torch.no_grad():
                return float(self.forward(moshi_lm=self.model, batch=batch, args=self.args)[0])
        batches = list(DataLoader(self.rows, batch_size=self.batch_size, collate_fn=self.collate, shuffle=True))
        if request["do"] == "peak":
            return peak_gb(lambda: self._epoch(batches))
        began = time.process_time()
        self._epoch(batches)
        return {
            "seconds": time.process_time() - began,
            "frames": sum(self.rows["num_frames"]),
            "places": sum(batch.text_attention_mask.numel() for batch in batches),
        }

    def _epoch(self, batches: list[Any]) -> None:
        for batch in batches:
            loss, _ = self.forward(moshi_lm=self.model, batch=batch, args=self.args)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    clone, model, data, batch_size, max_length = sys.argv[1:]
    answer(FineTuner(Path(clone), Path(model), Path(data), int(batch_size), int(max_length)).run)
