"""kyutai's own runtime loads what we write and computes the same numbers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.families.moshi.sizes import random_tokens
from tests.families.moshi.text_models import english
from tests.helpers.moshi_folder import CODEC, TOKENIZER, shaken, tiny, variant, with_lora
from voxtune.data.example import Example, pack
from voxtune.families.family import DialogueSettings
from voxtune.families.moshi.checkpoint import load_folder
from voxtune.families.moshi.config import Options
from voxtune.families.moshi.delays import delayed, labels_of
from voxtune.families.moshi.duplex import LiveRows
from voxtune.families.moshi.frames import frame_sampling
from voxtune.families.moshi.model import Moshi
from voxtune.families.moshi.upstream_folder import SERVER, write_folder
from voxtune.parts.attention import Segments
from voxtune.parts.lora import LoraSettings, merge_lora

pytestmark = pytest.mark.upstream

SCRIPT = Path(__file__).with_name("run_moshi.py")
TOLERANCE = 1e-5
FRAMES, STEPS = 14, 30
GREEDY = DialogueSettings(temperature=0, text_temperature=0)
LORA = LoraSettings(4, 10.0)

Upstream = Callable[..., dict[str, Tensor]]


@dataclass(frozen=True)
class Inputs:
    """codes: dialogues without delays [2, 1 + n_q, frames]; user_codes: [steps, n_q / 2]; waveform: [samples]."""

    codes: Tensor
    user_codes: Tensor
    waveform: Tensor


def inputs_for(model: Moshi) -> Inputs:
    config = model.config
    codes = torch.stack([random_tokens(config, FRAMES, seed) for seed in (0, 1)])
    user = random_tokens(config, STEPS, 2)[1 + config.codebooks :].T.contiguous()
    random = torch.Generator().manual_seed(3)
    return Inputs(codes, user, 0.1 * torch.randn(10 * 1920, generator=random))


@pytest.fixture
def upstream(moshi_python: Path, tmp_path: Path) -> Upstream:
    """What kyutai's runtime makes of a folder and of inputs."""

    def run(folder: Path, inputs: Inputs, *flags: str) -> dict[str, Tensor]:
        save_file(vars(inputs), tmp_path / "inputs.safetensors")
        command = [moshi_python, SCRIPT, folder, tmp_path / "inputs.safetensors", tmp_path / "outputs.safetensors"]
        done = subprocess.run([*map(str, command), *flags], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return load_file(tmp_path / "outputs.safetensors")

    return run


@torch.no_grad()
def assert_logits(model: Moshi, codes: Tensor, theirs: dict[str, Tensor]) -> None:
    """Of the model's own stream, at the positions that upstream computes."""
    config, steps = model.config, model.config.codebooks
    rows = [delayed(one, config, config.existing_text_padding_id)[:, : codes.shape[2] + 1] for one in codes]
    batch = pack([Example(str(number), row, labels_of(row, config)) for number, row in enumerate(rows)])
    hidden = model.frames(batch.tokens, Segments(batch.lengths, batch.tokens.device))
    hidden = hidden.unflatten(0, (len(rows), -1))[:, :-1]
    predicted = torch.stack([row[: config.dep_q, 1:] for row in rows], 1).flatten(1)
    states = model.depth_states(hidden.flatten(0, 1), predicted)
    logits = model.linears(states).unflatten(1, hidden.shape[:2]).transpose(0, 1)
    assert (model.text_logits(hidden) - theirs["text_logits"][:, 0]).abs().max() <= TOLERANCE
    assert theirs["logits"].shape[1] == steps
    for step, delay in enumerate(config.delays[1 : 1 + steps]):
        heard = theirs["logits"][:, step, : codes.shape[2] - delay]
        assert (logits[:, step, delay:] - heard).abs().max() <= TOLERANCE, step


def assert_steps(model: Moshi, user_codes: Tensor, theirs: Tensor) -> None:
    """Greedy duplex steps."""
    rows = LiveRows(model, frame_sampling(GREEDY), [0])
    tokens = [rows.step(codes[None]) for codes in user_codes]
    ours = torch.stack([one[0] for one in tokens if one is not None], 1)
    assert torch.equal(ours, theirs)
    assert len(theirs.unique()) > STEPS


def assert_codec(model: Moshi, waveform: Tensor, theirs: dict[str, Tensor]) -> None:
    assert model.assets is not None
    codes = model.assets.codec.encode([waveform])[0]
    assert torch.equal(codes, theirs["codes"])
    assert (model.assets.codec.decode([codes])[0] - theirs["waveform"]).abs().max() <= TOLERANCE


def assert_vocabulary(model: Moshi, theirs: Tensor) -> None:
    assert model.assets is not None
    pieces = [model.assets.tokenizer.piece(token) for token in range(model.config.text_card)]
    assert bytes(theirs.tolist()).decode("utf-8").split("\n") == pieces


def assert_same(model: Moshi, folder: Path, upstream: Upstream, *flags: str) -> None:
    write_folder(model, folder, SERVER)
    inputs = inputs_for(model)
    theirs = upstream(folder, inputs, *flags)
    assert_logits(model, inputs.codes, theirs)
    assert_steps(model, inputs.user_codes, theirs["tokens"])
    assert_codec(model, inputs.waveform, theirs)
    assert_vocabulary(model, theirs["vocabulary"])


@pytest.mark.parametrize("options", [Options(), Options(extend_for_user_stream=True)], ids=["own", "both"])
@pytest.mark.parametrize("kind", ["full", "merged_lora"])
def test_all_weights(kind: str, options: Options, tmp_path: Path, upstream: Upstream) -> None:
    model = tiny(options)
    if kind == "merged_lora":
        model = with_lora(model, LORA)
        merge_lora(model)
    else:
        model = shaken(model)
    assert_same(model, tmp_path / "out", upstream)


@pytest.mark.parametrize("options", [Options(), Options(extend_for_user_stream=True)], ids=["own", "both"])
@pytest.mark.parametrize("flags", [[], ["--fuse"]], ids=["beside", "fused"])
@pytest.mark.parametrize("layers", ["", "in_proj"], ids=["all", "some"])
def test_lora(layers: str, flags: list[str], options: Options, tmp_path: Path, upstream: Upstream) -> None:
    assert_same(with_lora(tiny(options), LORA, layers), tmp_path / "out", upstream, *flags)


def test_another_vocabulary(tmp_path: Path, upstream: Upstream) -> None:
    """Of another size, with padding ids of its own: the server takes it."""
    (tmp_path / "spiece.model").write_bytes(english().model)
    options = Options(
        new_text_embeddings=True,
        tokenizer=str(tmp_path / "spiece.model"),
        extend_for_user_stream=True,
        text_padding_id=5,
        end_of_text_padding_id=6,
    )
    assert_same(shaken(tiny(options)), tmp_path / "out", upstream)


@pytest.mark.parametrize("options", [Options(), Options(extend_for_user_stream=True)], ids=["own", "both"])
def test_relatives(options: Options, tmp_path: Path, upstream: Upstream) -> None:
    """What else a config.json can ask for."""
    sizes = replace(
        tiny().config,
        depformer_weights_per_step_schedule=(0, 1, 2, 2, 2, 3, 3, 3),
        depformer_dim_feedforward=(120, 96, 120, 90),
        depformer_low_rank_embeddings=12,
        depformer_norm="layer_norm",
        kv_repeat=2,
    )
    own = {"codec": str(CODEC), "tokenizer": str(TOKENIZER)}
    model = load_folder(variant(tmp_path / "m", sizes), options.model_copy(update=own))
    assert_same(model, tmp_path / "out", upstream)
