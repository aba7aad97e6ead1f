"""Real processes without the seconds of their imports: forked from a server that has done them.

A forked process runs ``agc`` as a fresh one does, with memory, locks and files of its own, and
can be killed like one.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

# What a training process imports; some of it only when the first optimizer is made.
PRELOAD = [
    "torch",
    "torch._dynamo",
    "timm.optim",
    "timm.models",
    "sklearn.datasets",
    "torchattacks",
    "agc.cli",
    "agc.runs.train",
    "agc.runs.evaluate",
]


def server() -> ForkServerContext:
    """The context whose processes start with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def start(
    context: ForkServerContext,
    log: Path,
    *arguments: object,
    die_at: int | None = None,
    memory: int | None = None,
) -> ForkServerProcess:
    """Start ``agc`` with these arguments; what it prints goes into ``log``.

    With ``die_at`` it kills itself just before it puts its n-th file into place. With ``memory`` it
    can allocate only so many bytes more than a process that has not begun.
    """
    given = (log, [str(a) for a in arguments], die_at, memory)
    process = context.Process(target=_run, args=given)
    process.start()
    return process


def _run(log: Path, arguments: list[str], die_at: int | None, memory: int | None) -> None:
    from agc.cli import main

    # Shells start what runs in the background with interrupts ignored, and children inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with log.open("a", encoding="utf-8", buffering=1) as stream:
        sys.stdout = sys.stderr = stream
        sys.argv = ["agc", *arguments]
        if die_at is not None:
            _die_at(die_at)
        if memory is not None:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + memory
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        main()


def _die_at(count: int) -> None:
    rename, calls = Path.replace, []

    def counted(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)

    Path.replace = counted
