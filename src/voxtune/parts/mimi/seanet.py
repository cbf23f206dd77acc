"""SEANet: the convolutional encoder of waveforms and the decoder that mirrors it.

Source of the numbers: kyutai-labs/moshi, modules/seanet.py.
"""

from __future__ import annotations

from torch import Tensor, nn

from voxtune.parts.mimi.config import SeanetConfig
from voxtune.parts.mimi.convolution import CausalConv, CausalTransposedConv
from voxtune.parts.mimi.memory import Memory


class Chain(nn.Module):
    """Layers one after the other; those that look back get the memory."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.model = nn.ModuleList(layers)

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        for layer in self.model:
            x = layer(x) if isinstance(layer, nn.ELU) else layer(x, memory)
        return x


class ResidualBlock(nn.Module):
    """ELU, convolution to fewer channels, ELU, convolution of single steps back, added to the input."""

    def __init__(self, channels: int, dilation: int, config: SeanetConfig) -> None:
        super().__init__()
        hidden = channels // config.compress
        narrow = CausalConv(channels, hidden, config.residual_kernel_size, dilation=dilation)
        self.block = nn.ModuleList([nn.ELU(), narrow, nn.ELU(), CausalConv(hidden, channels, 1)])

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        first, narrow, second, widen = self.block
        return x + widen(second(narrow(first(x), memory)))  # type: ignore[no-any-return]


def _residuals(channels: int, config: SeanetConfig) -> list[nn.Module]:
    return [ResidualBlock(channels, config.dilation_base**number, config) for number in range(config.n_residual_layers)]


class SeanetEncoder(Chain):
    """forward(waveform [batch, 1, samples]) -> [batch, dimension, samples / hop]."""

    def __init__(self, config: SeanetConfig) -> None:
        channels = config.n_filters
        layers: list[nn.Module] = [CausalConv(config.channels, channels, config.kernel_size)]
        for ratio in reversed(config.ratios):
            layers += _residuals(channels, config)
            layers += [nn.ELU(), CausalConv(channels, 2 * channels, 2 * ratio, stride=ratio)]
            channels *= 2
        layers += [nn.ELU(), CausalConv(channels, config.dimension, config.last_kernel_size)]
        super().__init__(layers)


class SeanetDecoder(Chain):
    """forward(latent [batch, dimension, steps]) -> waveform [batch, 1, steps * hop]."""

    def __init__(self, config: SeanetConfig) -> None:
        channels = config.n_filters * 2 ** len(config.ratios)
        layers: list[nn.Module] = [CausalConv(config.dimension, channels, config.kernel_size)]
        for ratio in config.ratios:
            layers += [nn.ELU(), CausalTransposedConv(channels, channels // 2, ratio)]
            channels //= 2
            layers += _residuals(channels, config)
        layers += [nn.ELU(), CausalConv(channels, config.channels, config.last_kernel_size)]
        super().__init__(layers)
