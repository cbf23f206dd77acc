"""The processes of a run: who am I, what is summed over all, how gradients meet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from voxtune.errors import VoxtuneError

T = TypeVar("T")

RANK_VARIABLES = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")
WORLD_VARIABLES = ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")
LOCAL_VARIABLES = ("LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK")


class Parallel:
    """One of `world` processes, each with one device, gradients averaged by torch's DistributedDataParallel."""

    def __init__(self) -> None:
        self.rank = _number(RANK_VARIABLES, 0)
        self.world = _number(WORLD_VARIABLES, 1)
        self.device = _device(_number(LOCAL_VARIABLES, 0))

    @property
    def is_main(self) -> bool:
        """The one process that writes files and prints."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model as the loop calls it. A batch may leave trained parameters without a gradient (no audio, say)."""
        if self.world == 1:
            return model
        return DistributedDataParallel(model, find_unused_parameters=True, broadcast_buffers=False)

    def without_sync(self, wrapped: nn.Module) -> AbstractContextManager[None]:
        """Gradients stay on this process: for all micro-batches of a step but the last."""
        return wrapped.no_sync() if isinstance(wrapped, DistributedDataParallel) else nullcontext()

    def sum(self, values: Tensor) -> Tensor:
        """Sum of a tensor over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def gather(self, value: T) -> list[T]:
        """A value of every process, in the order of their ranks."""
        if self.world == 1:
            return [value]
        values: list[T | None] = [None] * self.world
        dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            dist.barrier()


def launched() -> bool:
    """Whether a launcher started this process."""
    return all(any(name in os.environ for name in names) for names in (RANK_VARIABLES, WORLD_VARIABLES))


@contextmanager
def processes() -> Iterator[Parallel]:
    """Join the other processes that a launcher (torchrun, srun, mpirun) started; alone when there is none."""
    parallel = Parallel()
    if parallel.device.type == "cuda":
        torch.cuda.set_device(parallel.device)
    if parallel.world == 1:
        yield parallel
        return
    if "MASTER_ADDR" not in os.environ:
        raise VoxtuneError(
            f"{parallel.world} processes and no MASTER_ADDR: export MASTER_ADDR and MASTER_PORT of the first one"
        )
    os.environ.setdefault("RANK", str(parallel.rank))
    os.environ.setdefault("WORLD_SIZE", str(parallel.world))
    dist.init_process_group("nccl" if parallel.device.type == "cuda" else "gloo")
    try:
        yield parallel
    finally:
        dist.destroy_process_group()


def _number(names: tuple[str, ...], default: int) -> int:
    return next((int(os.environ[name]) for name in names if name in os.environ), default)


def _device(local_rank: int) -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda", local_rank)
    return torch.device("cpu")
