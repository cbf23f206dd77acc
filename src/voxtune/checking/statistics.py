"""The data in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from voxtune.checking.recordings import Recording
from voxtune.checking.report import Measurement, Percentiles, SplitStatistics

BATCH = 16


def statistics(measurements: Sequence[Measurement | None], recordings: Sequence[Recording]) -> SplitStatistics:
    """Numbers of one split, over its readable samples. `recordings`: those of the split, each once."""
    readable = [measurement for measurement in measurements if measurement is not None]
    seconds = [measurement.seconds for measurement in readable]
    sizes = [view.size for measurement in readable for view in measurement.views]
    found = SplitStatistics(
        samples=len(measurements),
        hours=sum(seconds) / 3600,
        seconds=percentiles(seconds),
        sample_rates=dict(sorted(Counter(recording.sample_rate for recording in recordings).items())),
    )
    if sizes:
        found.tokens = percentiles([size.frames for size in sizes])
        found.label_tokens = sum(size.labels for size in sizes)
        found.cost = sum(size.cost for size in sizes)
        found.padding_of_16 = padding([size.frames for size in sizes])
    return found


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """How values are spread; None without values."""
    if not values:
        return None
    least, p5, median, p95, most = np.percentile(values, [0, 5, 50, 95, 100]).tolist()
    return Percentiles(least=least, p5=p5, median=median, p95=p95, most=most)


def padding(lengths: Sequence[int]) -> float:
    """Share of padding when batches of 16, drawn at random, are padded to their longest."""
    shuffled = np.random.default_rng(0).permutation(np.asarray(lengths))
    batches = [shuffled[start : start + BATCH] for start in range(0, len(shuffled), BATCH)]
    return 1 - float(shuffled.sum()) / float(sum(len(batch) * batch.max() for batch in batches))
