"""Device, threads and determinism of a training process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

from agc.errors import UserError
from agc.machine.leases import take_devices
from agc.machine.memory import peak_memory
from agc.machine.provenance import provenance
from agc.processes.torchrun import Torchrun


@dataclass(frozen=True)
class Machine:
    """Where cells are trained; nothing of it is part of a cell.

    Attributes:
        device: of this process.
        name: of the device.
        threads: of CPU work, a process.
        deterministic: whether other algorithms are forbidden.
        devices: all that a cell of several devices may use, this one first.
        graphs: whether steps are recorded as CUDA graphs, which changes no bit.
    """

    device: str
    name: str
    threads: int
    deterministic: bool
    devices: tuple[str, ...]
    graphs: bool = False

    def provenance(self) -> dict[str, Any]:
        """Software and hardware, as plain data."""
        return {
            **provenance(self.device, self.threads, self.deterministic),
            "device_name": self.name,
            "peak_memory": peak_memory(),
            **({"graphs": self.graphs} if self.kind == "cuda" else {}),
        }

    @property
    def kind(self) -> str:
        """Of the device: ``cpu``, ``cuda``."""
        return torch.device(self.device).type

    def reset_peak_memory(self) -> None:
        """Forget what earlier work of this process took of the device's memory, and give back what
        it has left.
        """
        if self.kind == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)


def prepare_machine(
    device: str = "auto",
    threads: int = 1,
    fast: bool = False,
    count: int = 1,
    eager: bool = False,
) -> Machine:
    """Set up this process; call it before any tensor work.

    Args:
        device: ``auto`` takes a free CUDA device for this process alone, and waits for one while
            all are taken (:func:`agc.machine.leases.take_devices`); it is the CPU where there is
            none. ``auto/3`` takes one of three slots of a device. ``cpu``, ``cuda``, ``cuda:1``,
            ``cuda:0,cuda:1`` are taken without asking. Processes of torchrun take the one with
            their local rank.
        threads: threads of CPU work. Results depend on it in the last bits.
        fast: allow algorithms that are not deterministic.
        count: devices that are wanted; the CPU is as many as one likes.
        eager: launch each kernel of a CUDA device by itself, instead of graphs of them.

    Raises:
        UserError: no such device, too few devices, or ``AGC_DEVICES`` is malformed.
    """
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(not fast)
    # A kernel for each torch.empty, 203 in a step of a ResNet-18, that no result depends on; the
    # tests have it on.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = fast
    devices = _wanted(device, count)
    device = devices[0]
    try:
        kind = torch.device(device).type
        if kind == "cuda" and torch.device(device).index is not None:
            # What names no device would wake the first one, which may be another process'.
            torch.cuda.set_device(device)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]
        raise UserError(f"device {device!r} is not there: {reason}") from error
    name = torch.cuda.get_device_name(device) if kind == "cuda" else "cpu"
    graphs = kind == "cuda" and not eager
    return Machine(device, name, threads, not fast, devices, graphs)


def _slots(device: str) -> int | None:
    """How many processes share a device that is taken automatically; None of one by its name."""
    word, divided, number = device.partition("/")
    if word != "auto":
        return None
    if divided and not (number.isdecimal() and int(number) > 0):
        raise UserError(f"device {device!r}: expected auto/N, where N processes share a device")
    return int(number or 1)


def _wanted(device: str, count: int) -> tuple[str, ...]:
    """Names of ``count`` devices."""
    ranks, slots = Torchrun.here(), _slots(device)
    if ranks.count > 1:
        count = 1
        if slots is not None:
            device = f"cuda:{ranks.local_rank}" if torch.cuda.is_available() else "cpu"
    elif slots is not None:
        taken = take_devices(count, slots=slots)
        return tuple(lease.device for lease in taken) or ("cpu",) * count
    names = tuple(device.split(","))
    if names == ("cpu",):
        return names * count
    if len(names) < count:
        raise UserError(f"device {device!r}: {count} devices are wanted, say auto or name as many")
    return names[:count]
