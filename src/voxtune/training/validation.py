"""What is measured while training: loss over the validation data, and some of it decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from voxtune.data.example import Batch
from voxtune.data.plan import packs
from voxtune.evaluation.error_rate import error_rate
from voxtune.evaluation.normalization import normalize, unit_of_text
from voxtune.families.family import Family, Settings
from voxtune.training.loading import Pack, Packs, batches
from voxtune.training.monitor import Monitor
from voxtune.training.step import Trainer


@dataclass
class Validation:
    """Evaluates a trainer's model; all processes call it together and each does its share."""

    trainer: Trainer
    dataset: Packs
    family: Family
    workers: int
    monitor: Monitor

    def __call__(self) -> dict[str, float]:
        """Metrics: loss, each stream's loss, and the error rate of the decoded samples where models transcribe."""
        metrics = self.trainer.evaluate(self._batches())
        if self.trainer.train.evaluate_samples and "transcribe" in self.family.verbs:
            metrics["error_rate"] = self._error_rate()
        return metrics

    def _batches(self) -> Iterator[Batch]:
        parallel = self.trainer.parallel
        everything = range(len(self.dataset.corpus.samples))
        own = packs(everything, self.dataset.corpus.costs, self.trainer.train.tokens_per_batch, parallel.world)[
            parallel.rank
        ]
        return batches(self.dataset, [Pack(tuple(pack)) for pack in own if pack], self.workers)

    def _error_rate(self) -> float:
        """Word or character error rate of the first samples, decoded greedily."""
        parallel = self.trainer.parallel
        longest = max(size.labels for size in self.dataset.corpus.sizes)
        settings = Settings(max_new_tokens=2 * longest)  # an untrained model would not stop by itself
        layout = self.dataset.layout
        own = self.dataset.corpus.samples[: self.trainer.train.evaluate_samples][parallel.rank :: parallel.world]
        rows: list[tuple[str, str, str]] = []
        for start in range(0, len(own), settings.batch_size):
            samples = own[start : start + settings.batch_size]
            heard = [(s.question(), layout.waveforms(s)) for s in samples]
            with torch.no_grad(), self.trainer.autocast():
                outputs = list(self.family.generate(self.trainer.model, layout, heard, settings))
            rows += [(s.key, s.answer, output.text) for s, output in zip(samples, outputs, strict=True)]
        rows = [row for ranks in parallel.gather(rows) for row in ranks]
        self.monitor.decoded(rows)
        # By number: a key may stand in two files.
        references = {str(number): normalize(reference) for number, (_, reference, _) in enumerate(rows)}
        hypotheses = {str(number): normalize(decoded) for number, (_, _, decoded) in enumerate(rows)}
        return error_rate(references, hypotheses, unit_of_text(" ".join(references.values()))).rate
