"""LoRA beside a StepLinear: adapters of their own for each of its weight sets, in peft's protocol."""

from __future__ import annotations

import math
import warnings
from typing import cast

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from voxtune.errors import RecipeError
from voxtune.parts.step_linear import StepLinear


class StepLora(nn.Module, LoraLayer):
    """y[step] = W[set] x[step] + scaling * B[set] A[set] dropout(x[step])."""

    def __init__(self, base_layer: StepLinear, adapter_name: str, config: LoraConfig, **settings: object) -> None:
        """peft calls it with what it knows of an adapter; all of that is in `config` too."""
        super().__init__()
        with warnings.catch_warnings():  # peft warns of any layer that is not its own
            warnings.filterwarnings("ignore", "Unsupported layer type")
            LoraLayer.__init__(self, base_layer)
        if config.use_dora:
            raise RecipeError("tune.lora.dora: layers with weights of their own at each step cannot have it")
        self._active_adapter = adapter_name
        rows, columns = base_layer.out_features, base_layer.in_features
        low, high = base_layer.like(columns, config.r), base_layer.like(config.r, rows)
        nn.init.zeros_(high.weight)
        self.lora_A[adapter_name], self.lora_B[adapter_name] = low, high
        self.lora_dropout[adapter_name] = nn.Dropout(config.lora_dropout)
        self.r[adapter_name], self.lora_alpha[adapter_name] = config.r, config.lora_alpha
        self.scaling[adapter_name] = config.lora_alpha / (math.sqrt(config.r) if config.use_rslora else config.r)
        self._move_adapter_to_device_of_base_layer(adapter_name)

    def forward(self, states: Tensor) -> Tensor:
        """[steps, positions, in], or [positions, in] for all steps, to [steps, positions, out]."""
        result: Tensor = self._base(states)
        for name in self.active_adapters:
            low, high = self._adapter(name)
            result = result + self.scaling[name] * high(low(self.lora_dropout[name](states)))
        return result

    def at(self, step: int, states: Tensor) -> Tensor:
        """One step alone: [positions, in] to [positions, out]."""
        result = self._base.at(step, states)
        for name in self.active_adapters:
            low, high = self._adapter(name)
            result = result + self.scaling[name] * high.at(step, low.at(step, self.lora_dropout[name](states)))
        return result

    def get_delta_weight(self, adapter: str) -> Tensor:
        """What an adapter adds to the weight sets, [sets, out, in]."""
        low, high = self._adapter(adapter)
        delta: Tensor = torch.bmm(high.weight, low.weight) * self.scaling[adapter]
        return delta

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Add the adapters to the weight sets. Raises ValueError when a sum is not finite and `safe_merge`."""
        for name in adapter_names or self.active_adapters:
            merged = self._base.weight.detach() + self.get_delta_weight(name)
            if safe_merge and not merged.isfinite().all():
                raise ValueError(f"NaNs detected in the merged weights. The adapter {name} seems to be broken")
            self._base.weight.data.copy_(merged)
            self.merged_adapters.append(name)

    @property
    def _base(self) -> StepLinear:
        return cast(StepLinear, self.base_layer)

    def _adapter(self, name: str) -> tuple[StepLinear, StepLinear]:
        return cast(StepLinear, self.lora_A[name]), cast(StepLinear, self.lora_B[name])
