"""Train the built-in Mimi on espeak-ng's speech: `python demo/moshi/make_codec.py`, after `make_dialogues.py` and
`make_codec_speech.py` of this folder. About an hour on one core.

Written to src/voxtune/families/moshi/tiny: mimi.json (the configuration) and mimi.safetensors (float32, published
names). The rates are the published ones: 24 kHz, 12.5 frames a second, 8 codebooks; the network is small and knows two
voices. It is trained on spectra alone: no discriminator, and no distillation, so that the first codebook is "semantic"
by its place only. `--untrained` writes random weights.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from codebooks import initialise, project, quantise
from make_codec_speech import SPEECH
from make_dialogues import SHIPPED
from numpy.typing import NDArray
from safetensors.torch import save_file
from spectrum import envelope_correlation, loudest_silence, mel_distance, spectral_loss
from torch import Tensor, nn

from voxtune.files import atomic_write, write_json
from voxtune.parts.mimi import PUBLISHED, Mimi, MimiConfig

TINY = Path(__file__).parents[2] / "src/voxtune/families/moshi/tiny"
CODEC = TINY / "mimi.safetensors"
CODEC_CONFIG = TINY / "mimi.json"
SNAPSHOT = SPEECH.with_name("mimi.safetensors")

SEED = 33
WIDTH = 48
CODEBOOKS = 8
STEPS = 7000
FREE_STEPS = 400
"""So many steps train without quantising; then the codebooks are set to what the encoder gives."""
INITIAL_BATCHES = 24
BATCH = 8
FRAMES = 20
LEARNING_RATE = 2e-3
WARMUP = 100
DROPOUT = 0.5
"""Share of the crops that use only some of the codebooks."""
WAVEFORM_WEIGHT = 10.0
COMMITMENT_WEIGHT = 0.25
REPORT_EVERY = 250

CONFIG = MimiConfig(
    sample_rate=PUBLISHED.sample_rate,
    channels=1,
    frame_rate=PUBLISHED.frame_rate,
    seanet=dataclasses.replace(PUBLISHED.seanet, dimension=WIDTH, n_filters=8, kernel_size=5),
    quantizer=dataclasses.replace(
        PUBLISHED.quantizer, dimension=32, n_q=CODEBOOKS, bins=256, input_dimension=WIDTH, output_dimension=WIDTH
    ),
    transformer=dataclasses.replace(
        PUBLISHED.transformer, d_model=WIDTH, num_heads=4, num_layers=1, context=32, dim_feedforward=2 * WIDTH,
        input_dimension=WIDTH, output_dimensions=(WIDTH,),
    ),
    num_codebooks=CODEBOOKS,
)  # fmt: skip


def untrained() -> Mimi:
    """A random codec through which a signal passes without fading: PyTorch's own start would take it to silence."""
    codec = Mimi(CONFIG)
    for module in codec.modules():
        if isinstance(module, nn.ConvTranspose1d):
            nn.init.normal_(module.weight, std=(2 * module.in_channels / module.groups) ** -0.5)
        elif isinstance(module, nn.Conv1d):
            nn.init.normal_(module.weight, std=(module.in_channels * module.kernel_size[0]) ** -0.5)
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return codec


class Crops:
    """Random stretches of the speech."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.speech: NDArray[np.float32] = soundfile.read(SPEECH, dtype="float32")[0]

    def batch(self) -> Tensor:
        """float32 [BATCH, 1, samples]."""
        samples = FRAMES * CONFIG.frame_size
        starts = self.rng.integers(0, len(self.speech) - samples, BATCH)
        return torch.from_numpy(np.stack([self.speech[start : start + samples] for start in starts]))[:, None]


def held_out() -> list[Tensor]:
    """The channels of the validation dialogues, each [samples]."""
    files = sorted((SHIPPED / "validation/audio").glob("*.ogg"))
    return [channel for file in files for channel in torch.from_numpy(soundfile.read(file, dtype="float32")[0].T)]


def report(codec: Mimi, waveforms: list[Tensor]) -> str:
    """What is left of held-out dialogues that went through all codebooks."""
    codes = codec.encode(waveforms)
    pairs = [(wanted, given[: len(wanted)]) for wanted, given in zip(waveforms, codec.decode(codes), strict=True)]
    distances = [mel_distance(wanted[None], given[None]) for wanted, given in pairs]
    correlations = [envelope_correlation(wanted, given) for wanted, given in pairs]
    silence = max(loudest_silence(wanted, given) for wanted, given in pairs)
    rows = [len(torch.cat([code[number] for code in codes]).unique()) for number in range(CODEBOOKS)]
    return (
        f"mel distance {np.mean(distances):.3f}, envelope correlation {np.mean(correlations):.3f} (least "
        f"{min(correlations):.3f}), silence up to {silence:.4f}, rows in use {rows}"
    )


def save(codec: Mimi, path: Path) -> None:
    """Write the weights, whole or not at all."""
    with atomic_write(path) as temporary:
        save_file({name: tensor.clone().contiguous() for name, tensor in codec.state_dict().items()}, temporary)


def learning_rate(step: int) -> float:
    """Linear warm-up, then half a cosine to a fiftieth."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / STEPS))
    return LEARNING_RATE * min(1, (step + 1) / WARMUP) * (0.98 * cosine + 0.02)


def losses(codec: Mimi, waveform: Tensor, free: bool) -> dict[str, Tensor]:
    """The loss of one batch, by its parts."""
    latent = codec.encode_latent(waveform)
    if free:
        quantised, commitment = project(codec.quantizer, latent), torch.zeros(())
    else:
        used = torch.full((BATCH,), CODEBOOKS)
        dropped = torch.rand(BATCH) < DROPOUT
        used[dropped] = torch.randint(1, CODEBOOKS, (int(dropped.sum()),))
        quantised, commitment = quantise(codec.quantizer, latent, used)
    given = codec.decode_latent(quantised)
    return {
        "spectra": spectral_loss(waveform[:, 0], given[:, 0]),
        "waveform": WAVEFORM_WEIGHT * (waveform - given).abs().mean(),
        "commitment": COMMITMENT_WEIGHT * commitment,
    }


def train(codec: Mimi) -> None:
    """Train, and every REPORT_EVERY steps print how good the codec is and write SNAPSHOT."""
    crops, waveforms = Crops(np.random.default_rng(SEED)), held_out()
    optimizer = torch.optim.Adam(codec.parameters(), betas=(0.9, 0.99))
    begin = time.monotonic()
    sums: dict[str, float] = {}
    for step in range(STEPS):
        if step == FREE_STEPS:
            with torch.no_grad():
                latent = torch.cat([codec.encode_latent(crops.batch()) for _ in range(INITIAL_BATCHES)])
            initialise(codec.quantizer, latent, BATCH * FRAMES / CONFIG.quantizer.bins)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        parts = losses(codec, crops.batch(), free=step < FREE_STEPS)
        optimizer.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        optimizer.step()
        sums = {name: sums.get(name, 0.0) + loss.item() for name, loss in parts.items()}
        if (step + 1) % REPORT_EVERY == 0:
            means = ", ".join(f"{name} {value / REPORT_EVERY:.3f}" for name, value in sums.items())
            print(f"step {step + 1}, {time.monotonic() - begin:.0f} s: {means}", flush=True)
            sums = {}
            if step >= FREE_STEPS:
                print(f"    {report(codec, waveforms)}", flush=True)
                save(codec, SNAPSHOT)


def main() -> None:
    """Make the codec and put it into the package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--untrained", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    codec = untrained()
    if not arguments.untrained:
        train(codec)
    write_json(CODEC_CONFIG, CONFIG.to_dict())
    save(codec, CODEC)
    print(f"{CODEC}: {CODEC.stat().st_size} bytes")


if __name__ == "__main__":
    main()
