"""Models to folders and back: nothing is lost, upstream's files hold what upstream wants."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.families.moshi.text_models import english
from tests.helpers.moshi_folder import CODEC, TOKENIZER, shaken, tiny, variant, with_lora
from voxtune.errors import CheckpointError
from voxtune.families import find
from voxtune.families.moshi.checkpoint import load_folder
from voxtune.families.moshi.config import Options
from voxtune.families.moshi.folder_config import lm_kwargs, read_mapping
from voxtune.families.moshi.model import Moshi
from voxtune.families.moshi.tensor_names import from_ours
from voxtune.families.moshi.upstream_folder import write_folder
from voxtune.families.weights import read_weights
from voxtune.parts.lora import LoraSettings, lora_layers, merge_lora
from voxtune.recipe import LoraSection, TuneSection
from voxtune.training.tuning import apply

SERVER, FINE_TUNER = find("moshi").targets
BOTH = Options(extend_for_user_stream=True)
LORA = LoraSettings(4, 8.0)


def assert_comes_back(model: Moshi, folder: Path, target: str) -> Moshi:
    """Written and loaded again, it is the same model, bit by bit."""
    find("moshi").export(model, folder, target)
    again = load_folder(folder, Options())
    assert again.config == model.config
    ours, theirs = model.state_dict(), again.state_dict()
    assert ours.keys() == theirs.keys()
    assert not [name for name in ours if not torch.equal(ours[name], theirs[name])]
    return again


def elsewhere(**options: Any) -> Options:
    return Options(codec=str(CODEC), tokenizer=str(TOKENIZER), **options)


class TestRoundTrip:
    @pytest.mark.parametrize("target", [SERVER, FINE_TUNER])
    @pytest.mark.parametrize("options", [Options(), BOTH])
    def test_all_weights(self, tmp_path: Path, target: str, options: Options) -> None:
        assert_comes_back(shaken(tiny(options)), tmp_path / "out", target)

    @pytest.mark.parametrize("ending", ["", "in_proj", "linears"])
    @pytest.mark.parametrize("options", [Options(), BOTH])
    def test_lora(self, tmp_path: Path, ending: str, options: Options) -> None:
        model = with_lora(tiny(options), LORA, ending)
        again = assert_comes_back(model, tmp_path / "out", SERVER)
        assert lora_layers(again).keys() == lora_layers(model).keys()

    @pytest.mark.parametrize("settings", [LORA, LoraSettings(3, 7.0), LoraSettings(3, 7.0, rslora=True)])
    def test_scaling(self, tmp_path: Path, settings: LoraSettings) -> None:
        model = with_lora(tiny(), settings)
        again = assert_comes_back(model, tmp_path / "out", SERVER)
        expected = settings.alpha / (math.sqrt(settings.r) if settings.rslora else settings.r)
        assert read_mapping(tmp_path / "out" / "config.json")["lora_scaling"] == expected
        assert [layer.scaling for layer in lora_layers(again).values()] == [
            layer.scaling for layer in lora_layers(model).values()
        ]

    def test_merged_lora(self, tmp_path: Path) -> None:
        model = with_lora(tiny(BOTH), LORA)
        merge_lora(model)
        assert_comes_back(model, tmp_path / "server", SERVER)
        assert_comes_back(model, tmp_path / "fine-tuner", FINE_TUNER)
        assert "lora" not in read_mapping(tmp_path / "server" / "config.json")

    @pytest.mark.parametrize("options", [Options(), BOTH])
    def test_relatives(self, tmp_path: Path, options: Options) -> None:
        """Shared and differently wide weight sets, low-rank embeddings, more norms: all can be extended, too."""
        config = tiny().config
        sizes = replace(
            config,
            depformer_weights_per_step_schedule=(0, 1, 2, 2, 2, 3, 3, 3),
            depformer_dim_feedforward=(120, 96, 120, 90),
            depformer_low_rank_embeddings=12,
            depformer_norm="layer_norm",
            kv_repeat=2,
        )
        folder = variant(tmp_path / "m", sizes)
        model = load_folder(folder, elsewhere(**options.model_dump(include={"extend_for_user_stream"})))
        assert_comes_back(model, tmp_path / "out", SERVER)
        cut = read_mapping(tmp_path / "out" / "config.json")
        assert cut["dep_q"] == len(cut["depformer_weights_per_step_schedule"]) == 8
        with pytest.raises(CheckpointError, match="depformer_low_rank_embeddings"):
            write_folder(model, tmp_path / "fine-tuner", FINE_TUNER)

    def test_another_vocabulary(self, tmp_path: Path) -> None:
        (tmp_path / "spiece.model").write_bytes(english().model)
        options = Options(
            new_text_embeddings=True,
            tokenizer=str(tmp_path / "spiece.model"),
            extend_for_user_stream=True,
            text_padding_id=5,
            end_of_text_padding_id=6,
            whitespace_before_word=False,
        )
        model = shaken(tiny(options))
        again = assert_comes_back(model, tmp_path / "out", SERVER)
        assert again.assets is not None
        assert model.assets is not None
        assert (again.assets.text, again.assets.whitespace) == (model.assets.text, False)
        assert again.assets.tokenizer.model == english().model

    def test_options_of_an_export_change_nothing_again(self, tmp_path: Path) -> None:
        """What `voxtune export --verify` loads the written folder with."""
        family = find("moshi")
        (tmp_path / "spiece.model").write_bytes(english().model)
        options = Options(
            new_text_embeddings=True, tokenizer=str(tmp_path / "spiece.model"), extend_for_user_stream=True
        )
        model = shaken(tiny(options))
        family.export(model, tmp_path / "out", SERVER)
        (tmp_path / "spiece.model").unlink()
        again = family.load(str(tmp_path / "out"), family.exported(options), dtype=torch.float32)
        assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())


class TestFiles:
    def test_server(self, tmp_path: Path) -> None:
        model = shaken(tiny(BOTH))
        write_folder(model, tmp_path / "out", SERVER)
        names = {path.name for path in (tmp_path / "out").iterdir()}
        assert names == {
            "config.json", "moshi_lm_kwargs.json", "voxtune.json", "model.safetensors", "user_stream.safetensors",
            "mimi.json", CODEC.name, TOKENIZER.name,
        }  # fmt: skip
        config = read_mapping(tmp_path / "out" / "config.json")
        assert (config["dep_q"], config["depformer_context"], config["model_type"]) == (8, 8, "moshi")
        for key in ("moshi_name", "mimi_name", "tokenizer_name", "mimi_config_name"):
            assert (tmp_path / "out" / config[key]).is_file()
        assert read_mapping(tmp_path / "out" / "moshi_lm_kwargs.json") == {
            key: config[key] for key in lm_kwargs(model.config)
        }
        weights = load_file(tmp_path / "out" / "model.safetensors")
        assert weights["depformer.layers.0.self_attn.in_proj_weight"].shape == (8 * 3 * 48, 48)
        assert not any(name.startswith(("linears.8.", "depformer_emb.7.", "depformer_in.8.")) for name in weights)
        assert (tmp_path / "out" / CODEC.name).read_bytes() == CODEC.read_bytes()

    def test_fine_tuner(self, tmp_path: Path) -> None:
        write_folder(shaken(tiny(BOTH)), tmp_path / "out", FINE_TUNER)
        weights = load_file(tmp_path / "out" / "model.safetensors")
        assert weights["depformer.layers.0.self_attn.out_proj_weight"].shape == (16 * 48, 48)
        assert "transformer.layers.0.gating.linear_in_weight" in weights
        assert "transformer.layers.0.self_attn.out_proj.weight" in weights
        assert read_mapping(tmp_path / "out" / "moshi_lm_kwargs.json")["dep_q"] == 16
        assert not (tmp_path / "out" / "user_stream.safetensors").exists()

    def test_what_was_not_trained_keeps_its_type(self, tmp_path: Path) -> None:
        model = tiny()
        with torch.no_grad():
            model.text_linear.weight += 1e-4
        write_folder(model, tmp_path / "out", SERVER)
        dtypes = {name: tensor.dtype for name, tensor in load_file(tmp_path / "out" / "model.safetensors").items()}
        assert {name for name, dtype in dtypes.items() if dtype != torch.bfloat16} == {"text_linear.weight"}

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
    def test_one_type(self, tmp_path: Path, dtype: torch.dtype) -> None:
        write_folder(with_lora(tiny(BOTH), LORA), tmp_path / "out", SERVER, dtype)
        for name in ("model", "lora", "user_stream"):
            assert {t.dtype for t in load_file(tmp_path / "out" / f"{name}.safetensors").values()} == {dtype}

    def test_a_lora_file_has_an_adapter_beside_every_layer(self, tmp_path: Path) -> None:
        """Upstream cannot load it otherwise."""
        model = with_lora(tiny(BOTH), LORA, "text_linear")
        write_folder(model, tmp_path / "out", SERVER)
        adapters = load_file(tmp_path / "out" / "lora.safetensors")
        layers = {
            name.removesuffix(".weight")
            for name in from_ours(tiny().state_dict(), tiny().config)
            if "emb" not in name and name.endswith(".weight")
        }
        assert {name.rsplit(".lora_", 1)[0] for name in adapters} == layers
        assert {name for name, tensor in adapters.items() if tensor.any()} == {
            "text_linear.lora_A.weight",
            "text_linear.lora_B.weight",
        }
        config = read_mapping(tmp_path / "out" / "config.json")
        assert {key: config[key] for key in ("lora", "lora_rank", "lora_scaling", "lora_name")} == {
            "lora": True,
            "lora_rank": 4,
            "lora_scaling": 2.0,
            "lora_name": "lora.safetensors",
        }
        assert any(name.startswith("linears.15.lora_A") for name in load_file(tmp_path / "out/user_stream.safetensors"))

    def test_embeddings_trained_beside_lora_are_in_the_base(self, tmp_path: Path) -> None:
        model = tiny()
        tune = TuneSection(method="lora", parts=["embeddings"], lora=LoraSection(r=4, alpha=8))
        apply(model, find("moshi"), tune, 1e-4)
        shaken(model)
        assert_comes_back(model.eval(), tmp_path / "out", SERVER)
        weights = read_weights(tmp_path / "out" / "model.safetensors")
        assert torch.equal(weights["emb.3.weight"], model.emb.weight[3])
        assert not [name for name in load_file(tmp_path / "out" / "lora.safetensors") if "emb" in name]

    def test_generation_settings_stay(self, tmp_path: Path) -> None:
        model = tiny()
        assert model.assets is not None
        model.assets = replace(model.assets, generation={"temp": 0.6})
        again = assert_comes_back(model, tmp_path / "out", SERVER)
        assert again.assets is not None
        assert again.assets.generation == {"temp": 0.6}


class TestRefusals:
    def test_dora(self, tmp_path: Path) -> None:
        model = with_lora(tiny(), LoraSettings(4, 8.0, dora=True), "text_linear")
        with pytest.raises(CheckpointError, match="--merge"):
            write_folder(model, tmp_path / "out", SERVER)
        assert not (tmp_path / "out").exists()

    def test_lora_for_the_fine_tuner(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="--merge"):
            write_folder(with_lora(tiny(), LORA), tmp_path / "out", FINE_TUNER)

    def test_other_numbers_of_codebooks_for_the_fine_tuner(self, tmp_path: Path) -> None:
        sizes = replace(tiny().config, n_q=12, dep_q=6, depformer_context=6, delays=(0,) + (0, 1, 1, 1, 1, 1) * 2)
        model = load_folder(variant(tmp_path / "m", sizes), elsewhere())
        assert_comes_back(model, tmp_path / "server", SERVER)
        with pytest.raises(CheckpointError, match="n_q = 16"):
            write_folder(model, tmp_path / "out", FINE_TUNER)
