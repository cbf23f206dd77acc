"""Transcribe with upstream's own runtime: `python run_funasr.py MODEL_DIR OUTPUT_JSON AUDIO...`.

Run by the Python of the environment in requirements-funasr.txt; it must not import voxtune. Writes {audio path: text},
greedy decoding without hot words. Give it 16 kHz audio: without torchaudio upstream resamples by another method.
Exits with a message when a tensor of the folder does not arrive in the model, which upstream itself only logs.
"""

import argparse
import importlib.machinery
import importlib.util
import json
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read by huggingface_hub when it is imported

import torch
from funasr import AutoModel


def allow_missing_torchaudio() -> None:
    """Put an empty torchaudio in place when there is none: a model with a CTC branch imports it for timestamps.

    Upstream swallows what then fails and returns no timestamps; the text does not depend on them.
    """
    if "torchaudio" not in sys.modules:
        spec = importlib.machinery.ModuleSpec("torchaudio", None)
        sys.modules["torchaudio"] = importlib.util.module_from_spec(spec)


def check_weights(runtime: AutoModel) -> None:
    """Stop unless the model and the folder's checkpoint hold the same tensors, up to the model's own dtypes."""
    path = runtime.kwargs.get("init_param")
    if not path or not Path(path).exists():
        sys.exit(f"{runtime.model_path}: configuration.json names no existing init_param, upstream would run untrained")
    stored = torch.load(path, map_location="cpu", weights_only=True)
    stored = stored.get("state_dict", stored)
    loaded = runtime.model.state_dict()
    if missing := sorted(loaded.keys() - stored.keys()):
        sys.exit(f"{path}: {len(missing)} tensors of the model are not in the file, upstream only warns: {missing[:5]}")
    if unused := sorted(stored.keys() - loaded.keys()):
        sys.exit(f"{path}: upstream ignores {len(unused)} tensors of the file: {unused[:5]}")
    for name, tensor in loaded.items():
        if not torch.equal(stored[name].to(tensor.dtype), tensor):
            sys.exit(f"{path}: {name} {tuple(stored[name].shape)} was not loaded into {tuple(tensor.shape)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("output_json", type=Path)
    parser.add_argument("audio", nargs="+")
    arguments = parser.parse_args()

    runtime = AutoModel(
        model=str(arguments.model_dir.resolve()), device="cpu", ncpu=1, disable_update=True, disable_pbar=True
    )
    check_weights(runtime)
    allow_missing_torchaudio()
    texts = {path: runtime.generate(input=[path])[0]["text"] for path in arguments.audio}
    arguments.output_json.write_text(json.dumps(texts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
