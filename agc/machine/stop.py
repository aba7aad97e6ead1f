"""A polite end: SIGTERM and SIGUSR1 ask a training process to leave a checkpoint and go."""

from __future__ import annotations

import math
import signal
import threading
import time
from types import FrameType, TracebackType

EXIT_CODE = 75
"""``EX_TEMPFAIL`` of sysexits.h: nothing is wrong, and the same command goes on from here.

Any code but 0 makes Snakemake's ``retries`` try again; this one tells a scheduler (Slurm's
``RequeueExit``, or a batch script) apart what to requeue from what has failed.
"""

GRACE = 20.0
"""Seconds that an epoch has to end in: Slurm sends SIGKILL 30 seconds after SIGTERM."""

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))


class Stopped(Exception):
    """Training has ended early because a signal asked for it."""


class StopRequest:
    """Whether this process has been asked to stop; as a context it listens to the signals.

    A checkpoint can only be made where an epoch ends, as nothing within an epoch is restored. So
    the running epoch may end within ``grace`` seconds and leave its checkpoint; one that takes
    longer is given up at its next step, and what is left is the checkpoint of before.

    Args:
        grace: seconds from the first signal; later signals change nothing.
    """

    def __init__(self, grace: float = GRACE) -> None:
        self.grace = grace
        self.signal: str | None = None
        self._deadline = math.inf
        self._before: dict[int, object] = {}

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return self.signal is not None

    @property
    def overdue(self) -> bool:
        """Whether the grace is over."""
        return time.monotonic() >= self._deadline

    def ask(self, name: str) -> None:
        """Ask for the end, in the name of a signal."""
        if self.signal is None:
            self._deadline = time.monotonic() + self.grace
            self.signal = name

    def _received(self, number: int, frame: FrameType | None) -> None:
        self.ask(signal.Signals(number).name)

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():  # Python allows it nowhere else
            self._before = {s: signal.signal(s, self._received) for s in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
