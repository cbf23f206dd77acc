"""Folders to models: every layout of upstream's loads, nothing else does, and options change what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.families.moshi.text_models import english
from tests.helpers.moshi_folder import (
    CODEC,
    TOKENIZER,
    Layout,
    copy_of_tiny,
    shaken,
    tensors_of,
    tiny,
    write_json,
    write_upstream,
)
from voxtune.errors import CheckpointError
from voxtune.families import find
from voxtune.families.moshi import TINY
from voxtune.families.moshi.checkpoint import is_moshi_folder, load_folder
from voxtune.families.moshi.config import LmConfig, Options
from voxtune.families.moshi.folder_config import read_folder_config
from voxtune.families.moshi.model import Moshi
from voxtune.parts.mimi import PUBLISHED

BOTH = Options(extend_for_user_stream=True)
ELSEWHERE = Options(codec=str(CODEC), tokenizer=str(TOKENIZER))


def assert_same(model: Moshi, other: Moshi) -> None:
    ours, theirs = model.state_dict(), other.state_dict()
    assert model.config == other.config
    assert ours.keys() == theirs.keys()
    assert not [name for name in ours if not torch.equal(ours[name], theirs[name])]


def refusal(folder: Path, options: Options | None = None) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_folder(folder, options or Options())
    return str(caught.value)


class TestLayouts:
    @pytest.mark.parametrize(
        ("layout", "weights", "sizes"),
        [
            ("published", "model.safetensors", "moshi_lm_kwargs.json"),  # cleaned by nu-dialogue's script
            ("fine-tuning", "model.safetensors", "moshi_lm_kwargs.json"),  # init_moshi_for_ft, zero_to_fp32
            ("modules", "consolidated.safetensors", "config.json"),  # kyutai's fine-tuner
            ("modules", "model.safetensors", "config.json"),
        ],
    )
    @pytest.mark.parametrize("options", [Options(), BOTH])
    def test_each_loads(self, tmp_path: Path, layout: Layout, weights: str, sizes: Path, options: Options) -> None:
        model = shaken(tiny(options))
        folder = write_upstream(tmp_path / "m", tensors_of(model, layout), weights, sizes, model)
        assert is_moshi_folder(folder)
        assert_same(load_folder(folder, ELSEWHERE), model)
        assert "model.codec" in refusal(folder)
        assert "model.tokenizer" in refusal(folder, Options(codec=str(CODEC)))

    def test_a_folder_without_sizes_is_a_published_7b_model(self, tmp_path: Path) -> None:
        assert read_folder_config(tmp_path).published == LmConfig()
        model = tiny()
        folder = write_upstream(tmp_path / "m", tensors_of(model, "published"), "model.safetensors", None, model)
        assert is_moshi_folder(folder)
        assert "[257, 128] instead of [2049, 4096]" in refusal(folder)

    def test_built_in(self) -> None:
        family = find("moshi")
        model = family.load("tiny", Options(), dtype=torch.bfloat16)
        assert family.recognises(TINY)
        assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
        assert isinstance(model, Moshi)
        assert model.assets is not None
        assert {parameter.dtype for parameter in model.assets.codec.parameters()} == {torch.float32}
        assert not any(tensor.is_meta for tensor in (*model.buffers(), *model.assets.codec.buffers()))

    def test_weights_are_memory_of_their_own(self, tmp_path: Path) -> None:
        """Training in place must not reach a mapped file."""
        folder = copy_of_tiny(tmp_path / "m")
        model = load_folder(folder, Options(), dtype=torch.bfloat16)
        before = (folder / "model.safetensors").read_bytes()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        assert (folder / "model.safetensors").read_bytes() == before
        assert_same(load_folder(folder, Options(), dtype=torch.bfloat16), tiny(dtype=torch.bfloat16))

    @pytest.mark.parametrize("folder", ["src", "empty"])
    def test_other_folders(self, tmp_path: Path, folder: str) -> None:
        (tmp_path / "empty").mkdir()
        assert not is_moshi_folder(tmp_path / folder)

    def test_other_config(self, tmp_path: Path) -> None:
        write_json(tmp_path / "config.json", {"model_type": "moshi", "audio_vocab_size": 2048})
        assert not is_moshi_folder(tmp_path)
        (tmp_path / "config.json").write_text("{", encoding="utf-8")
        assert not is_moshi_folder(tmp_path)


class TestStrictness:
    def test_tensors(self, tmp_path: Path) -> None:
        model = tiny()
        tensors = tensors_of(model, "published")
        del tensors["linears.7.weight"]
        tensors["extra.weight"] = torch.zeros(2)
        tensors["depformer.layers.0.gating.3.linear_out.weight"] = torch.zeros(3, 2)
        folder = write_upstream(tmp_path / "m", tensors, "model.safetensors", Path("config.json"), model)
        message = refusal(folder, ELSEWHERE)
        assert "1 tensors are missing: linears.7.weight [256, 48]" in message
        assert "1 tensors are not part of this model: extra.weight [2]" in message
        assert "depformer.layers.0.gating.3.linear_out.weight [3, 2] instead of [48, 64]" in message

    def test_not_finite(self, tmp_path: Path) -> None:
        model = tiny()
        tensors = tensors_of(model, "published")
        tensors["text_emb.weight"][3, 1] = torch.nan
        folder = write_upstream(tmp_path / "m", tensors, "model.safetensors", Path("config.json"), model)
        assert "text_emb.weight" in refusal(folder, ELSEWHERE)

    def test_damaged(self, tmp_path: Path) -> None:
        folder = copy_of_tiny(tmp_path / "m")
        content = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
        assert "damaged or cut short" in refusal(folder)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"model_type": "hibiki"}, "model_type = 'hibiki'"),
            ({"depformer_pos_emb": "sin"}, "depformer_pos_emb = 'sin' is not supported"),
            ({"colour": 3}, "unknown key colour"),
            ({"num_heads": 0}, "describes no usable model"),
            ({"num_layers": 4}, "transformer.layers.3"),
            ({"lora": True}, "lora.safetensors is missing"),
            ({"mimi_name": "other.safetensors"}, "no codec (other.safetensors)"),
            ({"tokenizer_name": "other.model"}, "no text tokenizer (other.model)"),
            ({"mimi_config_name": "other.json"}, "other.json"),
            ({"mimi_config_name": None}, "32 codebooks with 2048 codes each"),
        ],
    )
    def test_config(self, tmp_path: Path, changes: dict[str, object], words: str) -> None:
        assert words in refusal(copy_of_tiny(tmp_path / "m", **changes))

    def test_lora_without_its_base(self, tmp_path: Path) -> None:
        write_json(tmp_path / "config.json", {"lora": True, "lora_rank": 4, "lora_scaling": 2.0})
        save_file({"text_linear.lora_A.weight": torch.zeros(4, 128)}, tmp_path / "lora.safetensors")
        assert "not the model that it was trained on" in refusal(tmp_path)

    def test_lora_that_nothing_speaks_of(self, tmp_path: Path) -> None:
        folder = copy_of_tiny(tmp_path / "m")
        save_file({"text_linear.lora_A.weight": torch.zeros(4, 128)}, folder / "lora.safetensors")
        assert "needs lora: true" in refusal(folder)

    def test_lora_beside_what_is_no_layer(self, tmp_path: Path) -> None:
        folder = copy_of_tiny(tmp_path / "m", lora=True, lora_rank=4, lora_scaling=2.0)
        save_file({"out_norm.lora_A.weight": torch.ones(4, 128)}, folder / "lora.safetensors")
        assert "out_norm.lora_A.weight [4, 128]" in refusal(folder)

    def test_codec(self, tmp_path: Path) -> None:
        folder = copy_of_tiny(tmp_path / "m")
        tensors = load_file(folder / "mimi.safetensors")
        del tensors["downsample.conv.conv.conv.weight"]
        save_file(tensors, folder / "mimi.safetensors")
        message = refusal(folder)
        assert "mimi.safetensors" in message
        assert "downsample.conv.conv.conv.weight" in message

    def test_user_stream_without_its_sizes(self, tmp_path: Path) -> None:
        folder = copy_of_tiny(tmp_path / "m")
        save_file({"linears.8.weight": torch.zeros(256, 64)}, folder / "user_stream.safetensors")
        assert "belong together" in refusal(folder)

    def test_notes(self, tmp_path: Path) -> None:
        folder = copy_of_tiny(tmp_path / "m")
        write_json(folder / "voxtune.json", {"whitespace": False})
        assert "whitespace" in refusal(folder)


class TestUserStream:
    def test_it_is_there_once(self) -> None:
        one, both = tiny(), tiny(BOTH)
        assert (one.config.dep_q, both.config.dep_q, both.config.depformer_context) == (8, 16, 16)
        assert torch.equal(both.linears.weight, one.linears.weight.repeat(2, 1, 1))

    def test_a_model_that_has_it_stays_as_it_is(self, tmp_path: Path) -> None:
        model = shaken(tiny(BOTH))
        tensors = tensors_of(model, "fine-tuning")
        folder = write_upstream(tmp_path / "m", tensors, "model.safetensors", Path("moshi_lm_kwargs.json"), model)
        assert_same(load_folder(folder, ELSEWHERE.model_copy(update={"extend_for_user_stream": True})), model)


class TestText:
    @pytest.fixture
    def smaller(self, tmp_path: Path) -> Path:
        path = tmp_path / "spiece.model"
        path.write_bytes(english().model)
        return path

    def test_same_size(self) -> None:
        options = Options(new_text_embeddings=True, retain_text_token_ids=[0, 3, 7])
        old, new = tiny(), tiny(options)
        assert new.config == old.config
        kept = [0, 3, 7, 400]
        others = [row for row in range(401) if row not in kept]
        for name in ("text_emb", "depformer_text_emb"):
            before, after = old.get_parameter(f"{name}.weight"), new.get_parameter(f"{name}.weight")
            assert torch.equal(before[kept], after[kept])
            assert not torch.isclose(before[others], after[others]).all(1).any()
            assert torch.allclose(after[others].mean(0), before.mean(0), atol=1e-3)
        assert torch.equal(new.text_linear.weight, old.text_linear.weight)
        assert_same(tiny(options), new)

    def test_another_size(self, smaller: Path) -> None:
        old = tiny()
        new = tiny(Options(new_text_embeddings=True, tokenizer=str(smaller)))
        assert new.assets is not None
        size = new.assets.tokenizer.size
        assert size == new.config.text_card < old.config.text_card
        assert [len(new.get_parameter(name)) for name in ("text_emb.weight", "depformer_text_emb.weight")] == [
            size + 1
        ] * 2
        assert torch.equal(new.text_emb.weight[[0, 3, size]], old.text_emb.weight[[0, 3, 400]])
        assert len(new.text_linear.weight) == size
        assert torch.equal(new.text_linear.weight[[0, 3]], old.text_linear.weight[[0, 3]])
        assert_same(tiny(Options(new_text_embeddings=True, tokenizer=str(smaller))), new)

    def test_another_size_has_to_be_wanted(self, smaller: Path) -> None:
        message = refusal(TINY, Options(tokenizer=str(smaller)))
        assert "model.new_text_embeddings" in message
        assert "400" in message

    def test_retained_tokens_exist(self, smaller: Path) -> None:
        options = Options(new_text_embeddings=True, tokenizer=str(smaller), retain_text_token_ids=[0, 399])
        assert "model.retain_text_token_ids: 399" in refusal(TINY, options)

    def test_ids_and_spaces(self, tmp_path: Path) -> None:
        assets = tiny(Options(text_padding_id=5, end_of_text_padding_id=6, whitespace_before_word=False)).assets
        assert assets is not None
        assert (assets.text.padding, assets.text.end_of_padding, assets.whitespace) == (5, 6, False)
        folder = copy_of_tiny(tmp_path / "m", existing_text_padding_id=7)
        write_json(folder / "voxtune.json", {"end_of_text_padding_id": 8, "whitespace_before_word": False})
        assets = load_folder(folder, Options()).assets
        assert assets is not None
        assert (assets.text.padding, assets.text.end_of_padding, assets.whitespace) == (7, 8, False)
        assert "text_padding_id = 400" in refusal(TINY, Options(text_padding_id=400))


class TestAssetsFromElsewhere:
    def test_folders(self, tmp_path: Path) -> None:
        model = tiny()
        tensors = tensors_of(model, "published")
        folder = write_upstream(tmp_path / "m", tensors, "model.safetensors", Path("config.json"), model)
        assert_same(load_folder(folder, Options(codec="tiny", tokenizer=str(TINY))), model)
        (tmp_path / "tokenizer").mkdir()
        (tmp_path / "tokenizer" / "spiece.model").write_bytes(TOKENIZER.read_bytes())
        found = load_folder(folder, Options(codec="tiny", tokenizer=str(tmp_path / "tokenizer"))).assets
        assert found is not None
        assert found.tokenizer_file.name == "spiece.model"
        (tmp_path / "tokenizer" / "other.model").write_bytes(TOKENIZER.read_bytes())
        assert "several tokenizers" in refusal(folder, Options(codec="tiny", tokenizer=str(tmp_path / "tokenizer")))

    def test_paths_hold_from_any_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A run keeps its recipe's options."""
        (tmp_path / "spm.model").write_bytes(TOKENIZER.read_bytes())
        monkeypatch.chdir(tmp_path)
        options = Options(tokenizer="spm.model", codec="kyutai/moshiko-pytorch-bf16")
        assert options.codec == "kyutai/moshiko-pytorch-bf16"
        monkeypatch.chdir("/")
        options.codec = str(CODEC)
        assets = tiny(options).assets
        assert assets is not None
        assert assets.tokenizer_file == tmp_path / "spm.model"

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (Options(codec="gone/mimi.safetensors"), "model.codec: gone/mimi.safetensors: no such file"),
            (Options(tokenizer="gone/spm.model"), "model.tokenizer: gone/spm.model: no such file"),
            (Options(tokenizer="tests"), "tests: no text tokenizer"),
        ],
    )
    def test_missing(self, options: Options, words: str) -> None:
        assert words in refusal(TINY, options)

    def test_a_codec_file_alone_has_the_published_sizes(self, tmp_path: Path) -> None:
        save_file(load_file(CODEC), tmp_path / "mimi.safetensors")
        message = refusal(TINY, Options(codec=str(tmp_path / "mimi.safetensors")))
        assert f"{PUBLISHED.quantizer.n_q} codebooks" in message
