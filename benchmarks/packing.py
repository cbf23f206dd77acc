"""Packed batches with logits at labels against padded batches of 16 with full logits: speed and peak memory.

    python -m benchmarks.packing

Both sides use the same weights and the same utterances, whose lengths are drawn like speech (log-normal, median
5 s, sigma 0.6). Speed: a reduced model in which encoder, language model and output layer have about the shares of the
published one. Memory: the published vocabulary of 151 936; each side in a process of its own, peak above the loaded
model.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.memory import peak_gb
from benchmarks.padded import padded_loss
from benchmarks.upstream_batching import padding_share, source_length, upstream_batches
from voxtune.data.example import IGNORED, AudioInput, Example, pack
from voxtune.data.plan import packs
from voxtune.families.fun_asr_nano.config import FunAsrNanoConfig
from voxtune.families.fun_asr_nano.model import FunAsrNano
from voxtune.parts.kaldi_frontend import FrontendConfig
from voxtune.parts.sanm import SanmConfig
from voxtune.parts.transformer_adaptor import AdaptorConfig

UTTERANCES = 64
PADDED_BATCH = 16
ROUNDS = 3
PROMPT = 25


def model(vocabulary: int) -> FunAsrNano:
    """A reduced Fun-ASR-Nano with random weights."""
    torch.manual_seed(0)
    config = FunAsrNanoConfig(
        frontend=FrontendConfig(),
        encoder=SanmConfig(
            output_size=256, linear_units=1024, num_blocks=4, tp_blocks=1, dropout=0, attention_dropout=0
        ),
        adaptor=AdaptorConfig(encoder_dim=256, llm_dim=256, ffn_dim=512),
        llm={
            "vocab_size": vocabulary, "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 7,
            "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 64, "tie_word_embeddings": True,
        },
    )  # fmt: skip
    return FunAsrNano(config).train()


def examples(network: FunAsrNano, count: int) -> list[Example]:
    """Utterances with log-normal lengths: a prompt, the audio's placeholders, three words (four tokens) a second."""
    random = np.random.default_rng(0)
    made = []
    for number, seconds in enumerate(np.exp(random.normal(np.log(5.0), 0.6, count)).clip(0.5, 30)):
        rows = network.config.frontend.rows(int(seconds * 16000))
        frames, answer = network.config.audio_frames(rows), int(4 * seconds) + 1
        tokens = torch.from_numpy(random.integers(0, network.config.llm["vocab_size"], (1, PROMPT + frames + answer)))
        labels = tokens.clone()
        labels[:, :-answer] = IGNORED
        features = torch.from_numpy(random.standard_normal((rows, 560), dtype=np.float32))
        made.append(Example(str(number), tokens, labels, [AudioInput(features, PROMPT - 5, frames)], seconds))
    return made


def packed_epoch(network: FunAsrNano, data: list[Example], tokens_per_batch: int) -> None:
    """Forward and backward over all utterances in packs."""
    for numbers in packs(range(len(data)), sizes(data), tokens_per_batch, world=1)[0]:
        batch = pack([data[n] for n in numbers])
        (network(batch)["text"] / network.label_counts(batch)["text"]).backward()
        network.zero_grad()


def padded_epoch(network: FunAsrNano, data: list[Example]) -> None:
    """The same in padded batches, in the order of the data."""
    for numbers in in_order(len(data)):
        padded_loss(network, [data[number] for number in numbers]).backward()
        network.zero_grad()


def sizes(data: list[Example]) -> list[int]:
    """Positions of each utterance: text and encoder rows."""
    return [example.frames + len(example.audio[0].features) for example in data]


def in_order(count: int) -> list[list[int]]:
    """Batches of 16 in the order of the data."""
    return [list(range(start, min(start + PADDED_BATCH, count))) for start in range(0, count, PADDED_BATCH)]


def upstream_order(data: list[Example]) -> list[list[int]]:
    """Upstream's own batches, with the settings of its fine-tuning script."""
    lengths = [source_length(6 * len(e.audio[0].features), int((e.labels != IGNORED).sum())) for e in data]
    return upstream_batches(lengths, batch_size=6000, sort_size=1024, max_token_length=3500, batch_size_sample_max=10)


def seconds(run: Callable[[], None]) -> float:
    """Time of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def peak(packed: bool) -> float:
    """Peak memory of one batch of 16 above that of the loaded model, GB."""
    torch.set_num_threads(1)
    network = model(151_936)
    data = examples(network, PADDED_BATCH)
    if packed:
        return peak_gb(lambda: packed_epoch(network, data, tokens_per_batch=10**9))
    return peak_gb(lambda: padded_epoch(network, data))


def main() -> None:
    """Measure and print the table."""
    torch.set_num_threads(1)
    network = model(8192)
    data = examples(network, UTTERANCES)
    useful = sum(example.frames for example in data)
    tokens_per_batch = sum(sizes(data)) * PADDED_BATCH // UTTERANCES
    times: dict[str, list[float]] = {"padded": [], "packed": []}
    for _ in range(ROUNDS):
        times["padded"].append(seconds(lambda: padded_epoch(network, data)))
        network.llm.set_attn_implementation("voxtune_packed")
        times["packed"].append(seconds(lambda: packed_epoch(network, data, tokens_per_batch)))
    spawn = multiprocessing.get_context("spawn")
    peaks = {}
    for name in ("padded", "packed"):
        with spawn.Pool(1) as pool:
            peaks[name] = pool.apply(peak, (name == "packed",))
    speed = {name: useful / statistics.median(values) for name, values in times.items()}
    table = Table(title="Padded batches of 16 with full logits, and packs with logits at labels")
    for column in ("", "padded", "packed", "packed / padded"):
        table.add_column(column, justify="right")
    many = examples(network, 2000)
    padding = [padding_share(order, sizes(many)) for order in (in_order(len(many)), upstream_order(many))]
    table.add_row("padding share", f"{padding[0]:.0%}", "0%", "")
    table.add_row("padding share, upstream's sorted batches", f"{padding[1]:.0%}", "0%", "")
    table.add_row("useful tokens/s", *(f"{speed[n]:.0f}" for n in speed), f"{speed['packed'] / speed['padded']:.2f}")
    table.add_row("peak memory, GB", *(f"{peaks[n]:.2f}" for n in peaks), f"{peaks['packed'] / peaks['padded']:.0%}")
    Console().print(table)


if __name__ == "__main__":
    main()
