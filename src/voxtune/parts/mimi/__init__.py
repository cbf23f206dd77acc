"""The Mimi codec (24 kHz speech as 12.5 frames of codes a second): network, streaming, sizes and names of weights."""

from voxtune.parts.mimi.codec import DecoderStream, EncoderStream, Mimi
from voxtune.parts.mimi.config import PUBLISHED, MimiConfig

__all__ = ["PUBLISHED", "DecoderStream", "EncoderStream", "Mimi", "MimiConfig"]
