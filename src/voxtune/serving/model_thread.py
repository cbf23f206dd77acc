"""The model in a thread of its own, so that the event loop stays free while it computes."""

from __future__ import annotations

import asyncio
import logging
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import sphn
import torch
from torch import Tensor

from voxtune.errors import VoxtuneError
from voxtune.families.family import Duplex

log = logging.getLogger(__name__)

WARM_UP_FRAMES = 12
"""The first half compiles kernels and fills the model's delays; the second half is measured."""


class ModelError(VoxtuneError):
    """The model failed in the midst of a conversation."""


class ModelThread:
    """One model with one conversation. What is asked of it is done in order, and a new conversation waits until the
    last step of the one before is done, even if nobody waits for that step any more."""

    def __init__(self, duplex: Duplex) -> None:
        self.sample_rate = duplex.sample_rate
        self.frame_size = duplex.frame_size
        self._duplex = duplex
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")

    @property
    def frame_seconds(self) -> float:
        """How long a frame is to hear."""
        return self.frame_size / self.sample_rate

    def warm_up(self) -> float:
        """Step through silence; returns the median seconds that a frame takes."""
        return self._executor.submit(self._warm_up).result()

    async def reset(self) -> None:
        """Begin a new conversation. Raises ModelError."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._reset)

    async def step(self, frame: Tensor) -> tuple[bytes, str]:
        """Hear a frame [frame_size]; returns the next bytes of the answer's Ogg Opus stream, and its text.

        Either may be empty. Raises ModelError.
        """
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._step, frame)

    def close(self) -> None:
        """Wait for the step under way and end the thread."""
        self._executor.shutdown(cancel_futures=True)

    def _warm_up(self) -> float:
        seconds = []
        self._reset()
        for _ in range(WARM_UP_FRAMES):
            start = time.perf_counter()
            self._step(torch.zeros(self.frame_size))
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds[WARM_UP_FRAMES // 2 :])

    def _reset(self) -> None:
        self._writer = sphn.OpusStreamWriter(self.sample_rate)
        try:
            self._duplex.reset()
        except Exception as error:
            raise _failure(error) from error

    def _step(self, frame: Tensor) -> tuple[bytes, str]:
        try:
            waveform, text = self._duplex.step(frame)
        except Exception as error:
            raise _failure(error) from error
        return b"" if waveform is None else self._writer.append_pcm(waveform.float().cpu().numpy()), text


def _failure(error: Exception) -> ModelError:
    log.exception("the model failed")
    return ModelError(f"the model failed: {error or type(error).__name__}")
