"""More processes on this machine: the same command again under torchrun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys


def relaunch(processes: int, arguments: list[str]) -> int:
    """Run `voxtune ARGUMENTS` in that many processes; returns the exit code. Signals reach the processes."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"),
        *("-m", "voxtune", *arguments),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    child = subprocess.Popen(command, env=environment)
    previous = {s: signal.signal(s, lambda n, _: child.send_signal(n)) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        return child.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
