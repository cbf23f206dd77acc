"""SEANet: the convolutional encoder of waveforms and the decoder that mirrors it.

Source of the numbers: kyutai-labs/moshi, modules/seanet.py. The ELU before a convolution is a layer of its own there
and counts in the names of weights.
"""

from __future__ import annotations

from torch import Tensor, nn

from voxtune.parts.mimi.config import SeanetConfig
from voxtune.parts.mimi.convolution import Causal, CausalConv, CausalTransposedConv
from voxtune.parts.mimi.memory import Memory


class ResidualBlock(nn.Module):
    """Convolution to fewer channels and convolution of single steps back, added to the input."""

    def __init__(self, channels: int, dilation: int, config: SeanetConfig) -> None:
        super().__init__()
        hidden = channels // config.compress
        narrow = CausalConv(channels, hidden, config.residual_kernel_size, dilation=dilation, elu=True)
        self.block = numbered([narrow, CausalConv(hidden, channels, 1, elu=True)])

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        narrow, widen = self.block.values()
        return widen(narrow(x, memory), memory, onto=x)  # type: ignore[no-any-return]


class Chain(nn.Module):
    """Layers one after the other."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.model = numbered(layers)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        for layer in self.model.values():
            x = layer(x, memory)
        return x


class SeanetEncoder(Chain):
    """forward(waveform [batch, samples, 1]) -> [batch, samples / hop, dimension]."""

    def __init__(self, config: SeanetConfig) -> None:
        channels = config.n_filters
        layers: list[nn.Module] = [CausalConv(config.channels, channels, config.kernel_size)]
        for ratio in reversed(config.ratios):
            layers += residuals(channels, config)
            layers.append(CausalConv(channels, 2 * channels, 2 * ratio, stride=ratio, elu=True))
            channels *= 2
        layers.append(CausalConv(channels, config.dimension, config.last_kernel_size, elu=True))
        super().__init__(layers)


class SeanetDecoder(Chain):
    """forward(latent [batch, steps, dimension]) -> waveform [batch, steps * hop, 1]."""

    def __init__(self, config: SeanetConfig) -> None:
        channels = config.n_filters * 2 ** len(config.ratios)
        layers: list[nn.Module] = [CausalConv(config.dimension, channels, config.kernel_size)]
        for ratio in config.ratios:
            layers.append(CausalTransposedConv(channels, channels // 2, ratio))
            channels //= 2
            layers += residuals(channels, config)
        layers.append(CausalConv(channels, config.channels, config.last_kernel_size, elu=True))
        super().__init__(layers)


def residuals(channels: int, config: SeanetConfig) -> list[nn.Module]:
    """The residual blocks of one rate, each reaching further back."""
    return [ResidualBlock(channels, config.dilation_base**number, config) for number in range(config.n_residual_layers)]


def numbered(layers: list[nn.Module]) -> nn.ModuleDict:
    """The layers under upstream's numbers, in which each ELU counts."""
    names: dict[str, nn.Module] = {}
    number = 0
    for layer in layers:
        number += isinstance(layer, Causal) and layer.elu
        names[str(number)] = layer
        number += 1
    return nn.ModuleDict(names)
