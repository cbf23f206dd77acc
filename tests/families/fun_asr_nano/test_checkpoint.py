"""Folders to models and back: every published variant loads, nothing else does, and nothing changes on the way."""

from __future__ import annotations

import json
import pickle
import socket
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from tests.helpers.fun_asr_nano_folder import (
    CONFIGURATION,
    LLM,
    SETTINGS,
    random_state,
    write_folder,
    write_json,
    write_settings,
)
from voxtune.errors import CheckpointError, RecipeError
from voxtune.families import find
from voxtune.families.fun_asr_nano.checkpoint import load_folder
from voxtune.families.fun_asr_nano.config import Options, config_from
from voxtune.families.fun_asr_nano.model import FunAsrNano
from voxtune.families.fun_asr_nano.upstream_folder import write_folder as export
from voxtune.parts.lora import LoraSettings, inject_lora, merge_lora

FAMILY = find("fun_asr_nano")
Q_PROJ = "llm.model.layers.0.self_attn.q_proj"


def assert_state(model: FunAsrNano, expected: dict[str, Tensor]) -> None:
    state = model.state_dict()
    assert state.keys() == expected.keys()
    different = [name for name in state if not torch.equal(state[name], expected[name].to(state[name].dtype))]
    assert not different


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_folder(folder)
    return str(caught.value)


class TestVariants:
    @pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model"])
    @pytest.mark.parametrize("prefix", ["", "module."])
    def test_wrapped(self, tmp_path: Path, wrapper: str | None, prefix: str) -> None:
        state = random_state()
        content: dict[str, Any] = {prefix + name: tensor for name, tensor in state.items()}
        if wrapper:
            content = {wrapper: content, "epoch": 3, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]}}
        write_folder(tmp_path / "m", state=content)
        assert_state(load_folder(tmp_path / "m"), state)

    def test_without_ctc_tensors(self, tmp_path: Path) -> None:
        model = load_folder(write_folder(tmp_path / "m", ctc=False))
        assert model.ctc is None and model.ctc_decoder is None
        assert_state(model, random_state(ctc=False))

    def test_safetensors_without_the_tied_matrix(self, tmp_path: Path) -> None:
        state = random_state()
        folder = write_folder(tmp_path / "m")
        (folder / "model.pt").unlink()
        save_file({name: t for name, t in state.items() if name != "llm.lm_head.weight"}, folder / "model.safetensors")
        assert_state(load_folder(folder), state)

    def test_old_torch_format(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path / "m")
        torch.save(random_state(seed=1), folder / "model.pt", _use_new_zipfile_serialization=False)
        assert_state(load_folder(folder), random_state(seed=1))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_half_precision_files(self, tmp_path: Path, dtype: torch.dtype) -> None:
        state = {n: t if n.startswith("ctc") else t.bfloat16() for n, t in random_state().items()}
        model = load_folder(write_folder(tmp_path / "m", state=state), dtype=dtype)
        assert {parameter.dtype for parameter in model.parameters()} == {dtype}
        assert model.llm.model.rotary_emb.inv_freq.dtype == torch.float32
        assert_state(model, state)

    def test_ctc_keys_inside_model_conf(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path / "m")
        settings = deepcopy(SETTINGS)
        settings["model_conf"] |= {k: settings.pop(k) for k in ("ctc_decoder", "ctc_decoder_conf", "ctc_vocab_size")}
        write_settings(folder, settings)
        assert_state(load_folder(folder), random_state())

    def test_fine_tuned_by_upstream(self, tmp_path: Path) -> None:
        """Its config.yaml names paths of the machine it ran on; the folder's own files are taken then."""
        folder = write_folder(tmp_path / "m")
        settings = deepcopy(SETTINGS) | {"init_param": "/elsewhere/model.pt", "output_dir": "/elsewhere/out"}
        settings["llm_conf"]["init_param_path"] = "/elsewhere/Qwen3-0.6B"
        settings["dataset_conf"]["ctc_tokenizer_conf"]["vocab_path"] = "/elsewhere/multilingual.tiktoken"
        write_settings(folder, settings)
        (folder / "configuration.json").unlink()
        assert_state(load_folder(folder), random_state())

    def test_language_model_folder_elsewhere(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path / "m")
        (folder / "Qwen3-0.6B").rename(tmp_path / "base")
        settings = deepcopy(SETTINGS)
        settings["llm_conf"]["init_param_path"] = str(tmp_path / "base")
        write_settings(folder, settings)
        (folder / "configuration.json").unlink()
        assert_state(load_folder(folder), random_state())

    def test_normalisation(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path / "m")
        values = " ".join(["0.5"] * 560)
        (folder / "am.mvn").write_text(
            f"<Nnet> <AddShift> 560 560 <LearnRateCoef> 0 [ {values} ] "
            f"<Rescale> 560 560 <LearnRateCoef> 0 [ {values} ] </Nnet>",
            encoding="utf-8",
        )
        metas = CONFIGURATION["file_path_metas"] | {"frontend_conf": {"cmvn_file": "am.mvn"}}
        write_json(folder / "configuration.json", CONFIGURATION | {"file_path_metas": metas})
        model = load_folder(folder)
        assert model.assets is not None and model.assets.cmvn is not None
        export(model, tmp_path / "out")
        again = load_folder(tmp_path / "out")
        assert again.assets is not None and again.assets.cmvn is not None
        assert again.assets.cmvn.shift.tolist() == [0.5] * 560


class TestRefusals:
    def test_missing_tensor(self, tmp_path: Path) -> None:
        state = random_state()
        del state["audio_encoder.tp_norm.weight"]
        message = refusal(write_folder(tmp_path / "m", state=state))
        assert "1 tensors are missing: audio_encoder.tp_norm.weight [16]" in message and "model.pt" in message

    def test_missing_ctc_tensor_among_others(self, tmp_path: Path) -> None:
        state = random_state()
        del state["ctc.ctc_lo.bias"]
        assert f"missing: ctc.ctc_lo.bias [{SETTINGS['ctc_vocab_size']}]" in refusal(
            write_folder(tmp_path / "m", state=state)
        )

    def test_left_over_tensor(self, tmp_path: Path) -> None:
        state = random_state() | {"audio_encoder.extra.weight": torch.zeros(2, 3)}
        message = refusal(write_folder(tmp_path / "m", state=state))
        assert "not part of this model: audio_encoder.extra.weight [2, 3]" in message

    def test_wrong_shape(self, tmp_path: Path) -> None:
        state = random_state() | {"audio_adaptor.linear1.bias": torch.zeros(7)}
        assert "audio_adaptor.linear1.bias [7] instead of [16]" in refusal(write_folder(tmp_path / "m", state=state))

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_not_finite(self, tmp_path: Path, value: float) -> None:
        state = random_state()
        state["audio_encoder.after_norm.bias"][3] = value
        message = refusal(write_folder(tmp_path / "m", state=state))
        assert "audio_encoder.after_norm.bias" in message and "NaN" in message

    def test_tied_matrices_that_differ(self, tmp_path: Path) -> None:
        state = random_state()
        state["llm.lm_head.weight"] += 1
        message = refusal(write_folder(tmp_path / "m", state=state))
        assert "llm.lm_head.weight differs from llm.model.embed_tokens.weight" in message

    @pytest.mark.filterwarnings("ignore:Detected pickle protocol")
    def test_pickle_with_code_is_not_run(self, tmp_path: Path) -> None:
        class Malicious:
            def __reduce__(self) -> tuple[Any, ...]:
                return Path.touch, (tmp_path / "it_ran",)

        folder = write_folder(tmp_path / "m")
        torch.save({"state_dict": random_state(), "extra": Malicious()}, folder / "model.pt")
        assert "could run code" in refusal(folder)
        (folder / "model.pt").write_bytes(pickle.dumps(Malicious()))
        assert "could run code" in refusal(folder)
        assert not (tmp_path / "it_ran").exists()

    @pytest.mark.parametrize("keep", [0, 10, 0.5, 0.999])
    def test_cut_short(self, tmp_path: Path, keep: float) -> None:
        path = write_folder(tmp_path / "m") / "model.pt"
        content = path.read_bytes()
        path.write_bytes(content[: int(keep if keep >= 1 else keep * len(content))])
        message = refusal(tmp_path / "m")
        assert str(path) in message and "damaged" in message

    def test_cut_short_safetensors(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path / "m")
        (folder / "model.pt").unlink()
        save_file(random_state(), folder / "model.safetensors")
        content = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
        assert "damaged" in refusal(folder)

    @pytest.mark.parametrize("content", [[torch.zeros(1)], {}, {"a": 1}, {"state_dict": {"a": "b"}}, torch.zeros(2)])
    def test_no_state_dict(self, tmp_path: Path, content: Any) -> None:
        folder = write_folder(tmp_path / "m")
        torch.save(content, folder / "model.pt")
        assert "no state dict" in refusal(folder)

    @pytest.mark.parametrize("name", ["config.yaml", "model.pt", "Qwen3-0.6B/config.json", "Qwen3-0.6B/tokenizer.json"])
    def test_missing_file(self, tmp_path: Path, name: str) -> None:
        folder = write_folder(tmp_path / "m")
        (folder / name).unlink()
        message = refusal(folder)
        assert str(folder) in message and (Path(name).stem in message or "tokenizer" in message)

    def test_missing_language_model_folder(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path / "m")
        (folder / "Qwen3-0.6B").rename(tmp_path / "gone")
        assert "copy Qwen3-0.6B of the base model into" in refusal(folder)

    def test_missing_ctc_vocabulary(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path / "m")
        (folder / "multilingual.tiktoken").unlink()
        assert "multilingual.tiktoken is missing" in refusal(folder)

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("config.yaml", "a: [1"),
            ("config.yaml", "just text"),
            ("config.yaml", "model: Paraformer"),
            ("config.yaml", "a: ${nowhere.b}"),
            ("config.yaml", "\ud800"),
            ("configuration.json", "{"),
            ("configuration.json", "[]"),
            ("Qwen3-0.6B/config.json", "{"),
            ("Qwen3-0.6B/tokenizer.json", "{"),
            ("multilingual.tiktoken", "not base64 !"),
        ],
    )
    def test_damaged_file(self, tmp_path: Path, name: str, content: str) -> None:
        folder = write_folder(tmp_path / "m")
        (folder / name).write_bytes(content.encode("utf-8", "surrogatepass"))
        assert str(folder) in refusal(folder)

    @pytest.mark.parametrize(
        ("section", "key", "value"),
        [
            ("audio_encoder_conf", "output_size", None),
            ("audio_encoder_conf", "output_size", "large"),
            ("audio_encoder_conf", "num_blocks", -3),
            ("audio_adaptor_conf", "n_layer", 1.5),
            ("audio_adaptor_conf", "ffn_dim", -1),
        ],
    )
    def test_unusable_size(self, tmp_path: Path, section: str, key: str, value: Any) -> None:
        folder = write_folder(tmp_path / "m")
        settings = deepcopy(SETTINGS)
        settings[section][key] = value
        write_settings(folder, settings)
        assert str(folder) in refusal(folder)

    def test_tokenizer_of_another_model(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path / "m")
        write_json(folder / "Qwen3-0.6B" / "config.json", LLM | {"vocab_size": 100})
        assert "do not belong together" in refusal(folder)

    def test_tokenizer_without_chat_tokens(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path / "m")
        path = folder / "Qwen3-0.6B" / "tokenizer.json"
        path.write_text(path.read_text(encoding="utf-8").replace("<|im_end|>", "<|end|>"), encoding="utf-8")
        write_json(folder / "Qwen3-0.6B" / "tokenizer_config.json", {"tokenizer_class": "Qwen2Tokenizer"})
        assert "no <|im_end|>" in refusal(folder)

    def test_ctc_weight_without_the_branch(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path / "m", ctc=False)
        with pytest.raises(CheckpointError, match=r"model\.ctc_weight = 0\.3"):
            FAMILY.load(str(folder), Options(ctc_weight=0.3), dtype=torch.float32)


class TestSource:
    def test_no_such_folder(self) -> None:
        with pytest.raises(CheckpointError, match="no such folder"):
            FAMILY.load("./nowhere/at/all", Options(), dtype=torch.float32)

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "model.pt").touch()
        with pytest.raises(CheckpointError, match="is a file; give the folder"):
            FAMILY.load(str(tmp_path / "model.pt"), Options(), dtype=torch.float32)

    def test_hub_id_without_a_network(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise OSError("no network in tests")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(CheckpointError, match=r"set model\.source to its path"):
            FAMILY.load("FunAudioLLM/Fun-ASR-Nano-2512", Options(), dtype=torch.float32)

    def test_unknown_family_and_task(self, tmp_path: Path) -> None:
        with pytest.raises(RecipeError, match="did you mean fun_asr_nano"):
            find("fun_asr")
        model = load_folder(write_folder(tmp_path / "m"))
        with pytest.raises(RecipeError, match="'tts'"):
            FAMILY.layout(model, Options(), "tts")

    @pytest.mark.parametrize(
        ("hours", "parts"),
        [
            (1, ["audio_adaptor"]),
            (1000, ["audio_encoder", "audio_adaptor"]),
            (7000, ["audio_encoder", "audio_adaptor"]),
            (10_001, ["audio_encoder", "audio_adaptor", "llm"]),
        ],
    )
    def test_parts_by_hours(self, hours: float, parts: list[str]) -> None:
        assert FAMILY.parts_for(hours, "full") == parts


class TestExport:
    def test_changed_weights_come_back(self, tmp_path: Path) -> None:
        model = load_folder(write_folder(tmp_path / "m"))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += torch.rand_like(parameter) / 7
        export(model, tmp_path / "out")
        assert_state(load_folder(tmp_path / "out"), model.state_dict())

    def test_untrained_tensors_keep_their_type(self, tmp_path: Path) -> None:
        state = {n: t if n.startswith("ctc") else t.bfloat16() for n, t in random_state().items()}
        model = load_folder(write_folder(tmp_path / "m", state=state))
        export(model, tmp_path / "same")
        with torch.no_grad():
            model.audio_adaptor.linear1.weight += 1 / 3
        export(model, tmp_path / "trained")
        same, trained = (torch.load(tmp_path / n / "model.pt")["state_dict"] for n in ("same", "trained"))
        assert {n: t.dtype for n, t in same.items()} == {n: t.dtype for n, t in state.items()}
        assert {n for n in trained if trained[n].dtype != state[n].dtype} == {"audio_adaptor.linear1.weight"}
        assert_state(load_folder(tmp_path / "trained"), model.state_dict())
        assert yaml.safe_load((tmp_path / "trained/config.yaml").read_text())["llm_conf"]["llm_dtype"] == "bf16"

    def test_trained_language_model_is_not_rounded(self, tmp_path: Path) -> None:
        state = {name: tensor.bfloat16() for name, tensor in random_state(ctc=False).items()}
        model = load_folder(write_folder(tmp_path / "m", state=state))
        with torch.no_grad():
            model.llm.model.norm.weight += 1 / 3
        export(model, tmp_path / "out")
        assert yaml.safe_load((tmp_path / "out/config.yaml").read_text())["llm_conf"]["llm_dtype"] == "fp32"

    def test_what_upstream_needs_is_there(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path / "m")
        settings = deepcopy(SETTINGS) | {"output_dir": "/elsewhere", "init_param": "/elsewhere/model.pt"}
        settings["llm_conf"]["init_param_path"] = "/elsewhere/Qwen3-0.6B"
        write_settings(folder, settings)
        export(load_folder(folder), tmp_path / "out")
        assert sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()) == [
            "Qwen3-0.6B/config.json",
            "Qwen3-0.6B/tokenizer.json",
            "Qwen3-0.6B/tokenizer_config.json",
            "config.yaml",
            "configuration.json",
            "model.pt",
            "multilingual.tiktoken",
        ]
        written = (tmp_path / "out/config.yaml").read_text()
        assert "elsewhere" not in written and str(tmp_path) not in written
        settings = yaml.safe_load(written)
        assert settings["train_conf"]["effective_save_name_excludes"] is None
        assert settings["frontend_conf"]["dither"] == 0
        metas = json.loads((tmp_path / "out/configuration.json").read_text())["file_path_metas"]
        assert metas == CONFIGURATION["file_path_metas"] | {"tokenizer_conf": {"init_param_path": "Qwen3-0.6B"}}
        state = torch.load(tmp_path / "out/model.pt", weights_only=True)["state_dict"]
        assert torch.equal(state["llm.lm_head.weight"], state["llm.model.embed_tokens.weight"])

    def test_without_ctc(self, tmp_path: Path) -> None:
        export(load_folder(write_folder(tmp_path / "m", ctc=False)), tmp_path / "out")
        assert "ctc_decoder" not in yaml.safe_load((tmp_path / "out/config.yaml").read_text())
        metas = json.loads((tmp_path / "out/configuration.json").read_text())["file_path_metas"]
        assert "dataset_conf" not in metas
        assert_state(load_folder(tmp_path / "out"), random_state(ctc=False))

    def test_lora_stays_beside_its_weights(self, tmp_path: Path) -> None:
        model = with_lora(tmp_path, LoraSettings(4, 8, 0.1))
        export(model, tmp_path / "out")
        state = torch.load(tmp_path / "out/model.pt", weights_only=True)["state_dict"]
        assert {name.removeprefix(Q_PROJ) for name in state if name.startswith(Q_PROJ)} == {
            ".weight",
            ".lora_A",
            ".lora_B",
        }
        llm_conf = yaml.safe_load((tmp_path / "out/config.yaml").read_text())["llm_conf"]
        assert llm_conf["use_lora"] is True
        assert llm_conf["lora_conf"] == {
            "r": 4,
            "lora_alpha": 8,
            "lora_dropout": 0.1,
            "target_modules": ["q_proj", "v_proj"],
        }
        again = load_folder(tmp_path / "out")
        assert_state(again, model.state_dict())
        assert torch.equal(hidden(again), hidden(model))

    def test_merged_lora(self, tmp_path: Path) -> None:
        model = with_lora(tmp_path, LoraSettings(4, 8, 0.1))
        before = hidden(model)
        merge_lora(model)
        export(model, tmp_path / "out")
        again = load_folder(tmp_path / "out")
        assert again.state_dict().keys() == random_state().keys()
        assert (hidden(again) - before).abs().max() <= 1e-5
        assert yaml.safe_load((tmp_path / "out/config.yaml").read_text())["llm_conf"]["use_lora"] is False

    @pytest.mark.parametrize("kind", ["dora", "rslora"])
    def test_kinds_that_upstream_lacks(self, tmp_path: Path, kind: str) -> None:
        model = with_lora(tmp_path, LoraSettings(4, 8, dora=kind == "dora", rslora=kind == "rslora"))
        with pytest.raises(CheckpointError, match="--merge"):
            export(model, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        before = hidden(model)
        merge_lora(model)
        export(model, tmp_path / "out")
        assert (hidden(load_folder(tmp_path / "out")) - before).abs().max() <= 1e-5

    def test_ctc_branch_that_upstream_cannot_build(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path / "m")
        settings = deepcopy(SETTINGS)
        settings["ctc_decoder_conf"]["llm_dim"] = 12
        write_settings(folder, settings)
        torch.save(FunAsrNano(config_from(settings, LLM)).state_dict(), folder / "model.pt")
        with pytest.raises(CheckpointError, match=r"ctc_decoder_conf\.llm_dim = 12"):
            export(load_folder(folder), tmp_path / "out")

    def test_whole_or_not_at_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise OSError("No space left on device")

        model = load_folder(write_folder(tmp_path / "m"))
        monkeypatch.setattr(torch, "save", full)
        with pytest.raises(OSError, match="No space left"):
            export(model, tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["m"]


def with_lora(tmp_path: Path, settings: LoraSettings) -> FunAsrNano:
    """A loaded model with adapters that change its output."""
    model = load_folder(write_folder(tmp_path / "m"))
    names = [name for name, _ in model.named_modules() if name.endswith(("q_proj", "v_proj"))]
    inject_lora(model, names, settings)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return model.eval()


@torch.no_grad()
def hidden(model: FunAsrNano) -> Tensor:
    return model.llm(torch.arange(20)[None]).logits
