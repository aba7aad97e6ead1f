"""Starts the other processes of a cell that several devices train, or joins those of torchrun."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import distributed

from agc.errors import UserError
from agc.grids.cell import Cell
from agc.machine.device import Machine, prepare_machine
from agc.machine.memory import first_line, is_out_of_memory
from agc.machine.stop import SIGNALS, StopRequest
from agc.processes.team import Team
from agc.processes.torchrun import Torchrun

PATIENCE = 20.0
"""Seconds that the first process has to notice by itself that another one has died."""


@dataclass(frozen=True)
class Work:
    """What the other processes of a team are told; everything else they find in the cell."""

    cell: Cell
    folder: Path
    machine: Machine
    checkpoint_interval: float


class LocalTeam(Team):
    """This process and others on this machine, which live no longer than the training.

    They hear no signal and write no file: this process decides and writes. Where it is killed,
    they end by themselves. Nothing listens beyond this machine.

    Args:
        work: what they train; ``machine`` has a device for each.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self.others: list[tuple[BaseProcess, Connection]] = []
        self.over = threading.Event()
        self.folder = tempfile.TemporaryDirectory(prefix="agc-team-")

    def __enter__(self) -> LocalTeam:
        devices = self.work.machine.devices[: self.work.cell.training.devices]
        spawn = multiprocessing.get_context("spawn")
        meeting = f"{self.folder.name}/meeting"
        for rank, device in enumerate(devices[1:], start=1):
            mine, theirs = spawn.Pipe(duplex=False)
            member = replace(self.work, machine=replace(self.work.machine, device=device))
            # No daemon: those may have no processes of their own, which decode images.
            process = spawn.Process(target=_member, args=(member, rank, meeting, theirs))
            process.start()
            theirs.close()
            self.others.append((process, mine))
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            _meet(meeting, 0, self.work)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over.set()
        # What this process saw of another's end is a broken connection.
        reason = self._why() if isinstance(error, RuntimeError) else None
        for process, _ in self.others:
            if error is not None:
                process.kill()
            process.join()
        if distributed.is_initialized():
            distributed.destroy_process_group()
        self.folder.cleanup()
        if reason is not None:
            raise reason from error

    def _why(self) -> Exception | None:
        """Why another process has ended, if one has."""
        for number, (process, pipe) in enumerate(self.others, start=2):
            process.join(1)
            if process.exitcode:
                died = f"the process has died (exit code {process.exitcode}); run again to go on"
                said = _said(pipe) or UserError(died)
                return type(said)(f"on device {number} of {len(self.others) + 1}: {said}")
        return None

    def _watch(self) -> None:
        """End this process if another one dies and it hangs: accelerators wait for ever."""
        wait([process.sentinel for process, _ in self.others])
        failed = [process for process, _ in self.others if process.exitcode]
        if failed and not self.over.wait(PATIENCE):
            print("agc: error: the process of another device has died", file=sys.stderr)
            os._exit(1)


def train_cell(
    work: Work,
    stop: StopRequest,
    watch: Iterable[int] = (),
    on_epoch: Callable[[dict[str, Any]], None] = lambda row: None,
) -> tuple[str, list[dict[str, Any]]]:
    """Train a cell by as many processes as it has devices.

    Args:
        work: the cell, and where and how.
        stop: may ask for the end of the training before its last epoch.
        watch: epochs in which to measure gradients.
        on_epoch: called with each epoch's row.

    Returns:
        How it ended, and what was measured; errors are those of
        :meth:`agc.runs.train.CellRun.train`.
    """
    from agc.runs.train import CellRun

    run = CellRun(**vars(work), on_epoch=on_epoch, watch=watch, stop=stop, team=make_team(work))
    return run.train(), run.measured


def make_team(work: Work) -> Team:
    """Who trains the cell: the processes of torchrun if it runs, else others that are started."""
    if Torchrun.here().count > 1:
        if not distributed.is_initialized():
            distributed.init_process_group(_backend(work.machine.device))
            atexit.register(distributed.destroy_process_group)
        return Team()
    return Team() if work.cell.training.devices == 1 else LocalTeam(work)


def _member(work: Work, rank: int, meeting: str, told: Connection) -> None:
    """One of the others, from its start to its end."""
    from agc.runs.train import CellRun

    for number in (signal.SIGINT, *SIGNALS):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        given = work.machine
        machine = prepare_machine(given.device, given.threads, not given.deterministic)
        _meet(meeting, rank, work)
        CellRun(work.cell, work.folder, machine, work.checkpoint_interval).train()
        distributed.destroy_process_group()
    except Exception as error:
        cause = error.__cause__ if error.__cause__ is not None else error
        if is_out_of_memory(cause):
            told.send(MemoryError(first_line(cause)))
        else:
            told.send(UserError(str(error) or type(error).__name__))
        sys.exit(1)


def _meet(meeting: str, rank: int, work: Work) -> None:
    """Wait until all processes are there."""
    loopback = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
    for library in ("GLOO", "NCCL") if loopback else ():
        os.environ.setdefault(f"{library}_SOCKET_IFNAME", loopback[0])
    count = work.cell.training.devices
    distributed.init_process_group(
        _backend(work.machine.device),
        store=distributed.FileStore(meeting, count),
        rank=rank,
        world_size=count,
    )


def _said(pipe: Connection) -> Exception | None:
    """The error that a process ended with, if it could tell."""
    try:
        return pipe.recv() if pipe.poll() else None
    except EOFError:
        return None


def _backend(device: str) -> str:
    return "nccl" if device.startswith("cuda") else "gloo"


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
