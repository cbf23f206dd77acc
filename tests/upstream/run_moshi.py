"""Compute with kyutai's own runtime: `python run_moshi.py FOLDER INPUTS OUTPUTS [--fuse]`.

Run by the Python of the environment in requirements-moshi.txt; it must not import voxtune. INPUTS and OUTPUTS are
safetensors files. In: codes [batch, 1 + n_q, frames], user_codes [steps, n_q / 2], waveform [samples]. Out: logits and
masks of a forward pass, tokens of greedy duplex steps, codes of the waveform and the waveform of those codes; the
content of the vocabulary goes to the tensor `vocabulary`. --fuse: fold LoRA into the weights, as moshi.server does.
The folder's files are given as moshi.server does it with its options for local files.
"""

import argparse
import json
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read by huggingface_hub when it is imported
os.environ["NO_TORCH_COMPILE"] = "1"

import torch
from moshi.models import LMGen, loaders
from moshi.run_inference import get_condition_tensors
from safetensors.torch import load_file, save_file


def checkpoint(folder: Path) -> loaders.CheckpointInfo:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    lora, codec_config = config.get("lora_name"), config.get("mimi_config_name")
    return loaders.CheckpointInfo.from_hf_repo(
        "none/none",
        folder / config["moshi_name"],
        folder / config["mimi_name"],
        folder / config["tokenizer_name"],
        config_path=folder / "config.json",
        mimi_config_path=folder / codec_config if codec_config else None,
        lora_weights=folder / lora if lora else None,
    )


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("inputs", type=Path)
    parser.add_argument("outputs", type=Path)
    parser.add_argument("--fuse", action="store_true")
    arguments = parser.parse_args()

    inputs = load_file(arguments.inputs)
    info = checkpoint(arguments.folder)
    lm = info.get_moshi(device="cpu", dtype=torch.float32, fuse_lora=arguments.fuse)
    codec = info.get_mimi(device="cpu")
    if lost := [name for name, parameter in lm.named_parameters() if parameter.is_meta]:
        sys.exit(f"{len(lost)} tensors were not loaded: {lost[:5]}")

    found = lm(inputs["codes"])
    outputs = {"logits": found.logits, "mask": found.mask, "text_logits": found.text_logits}
    conditions = get_condition_tensors(info.model_type, lm, batch_size=1, cfg_coef=1.0)
    steps = LMGen(lm, use_sampling=False, condition_tensors=conditions, **info.lm_gen_config)
    with steps.streaming(1):
        tokens = [steps.step(codes[None, :, None]) for codes in inputs["user_codes"]]
    outputs["tokens"] = torch.cat([one for one in tokens if one is not None], 2)[0]
    outputs["codes"] = codec.encode(inputs["waveform"][None, None])[0]
    outputs["waveform"] = codec.decode(outputs["codes"][None])[0, 0]
    tokenizer = info.get_text_tokenizer()
    pieces = "\n".join(tokenizer.id_to_piece(token) for token in range(lm.text_card))
    outputs["vocabulary"] = torch.tensor(list(pieces.encode("utf-8")), dtype=torch.uint8)
    save_file({name: tensor.contiguous() for name, tensor in outputs.items()}, arguments.outputs)


if __name__ == "__main__":
    main()
