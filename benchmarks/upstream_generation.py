"""In upstream's environment: duplex steps of PyPI moshi (LMGen), as its server makes them."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from moshi.models import LMGen, loaders
from moshi.run_inference import get_condition_tensors

from benchmarks.upstream_process import answer


class Stepper:
    """The language model of a folder in upstream's layout."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        files = [folder / config[name] for name in ("moshi_name", "mimi_name", "tokenizer_name")]
        info = loaders.CheckpointInfo.from_hf_repo(
            "none/none",
            *files,
            config_path=folder / "config.json",
            mimi_config_path=folder / config["mimi_config_name"],
        )
        self.lm = info.get_moshi(device="cpu", dtype=torch.float32)
        self.conditions = get_condition_tensors(info.model_type, self.lm, batch_size=1, cfg_coef=1.0)

    @torch.no_grad()
    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Hear codes [frames, batch, codebooks]; processor seconds of each frame, and what was said, a list a frame."""
        steps = LMGen(self.lm, condition_tensors=self.conditions, **request["sampling"])
        seconds, said = [], []
        with steps.streaming(len(request["codes"][0])):
            for codes in torch.tensor(request["codes"]):
                began = time.process_time()
                tokens = steps.step(codes[:, :, None])
                seconds.append(time.process_time() - began)
                if tokens is not None:
                    said.append(tokens[:, :, 0].tolist())
        return {"seconds": seconds, "said": said}


if __name__ == "__main__":
    torch.set_num_threads(1)
    answer(Stepper(Path(sys.argv[1])).run)
