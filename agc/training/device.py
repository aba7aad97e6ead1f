"""Device, threads and determinism of a training process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

from agc.errors import UserError
from agc.provenance import provenance
from agc.training.leases import take_device


@dataclass(frozen=True)
class Machine:
    """Where cells are trained; nothing of it is part of a cell."""

    device: str
    name: str
    threads: int
    deterministic: bool

    def provenance(self) -> dict[str, Any]:
        """Software and hardware, as plain data."""
        return {
            **provenance(self.device, self.threads, self.deterministic),
            "device_name": self.name,
        }


def prepare_machine(device: str = "auto", threads: int = 1, fast: bool = False) -> Machine:
    """Set up this process; call it before any tensor work.

    Args:
        device: ``auto`` takes a free CUDA device for this process alone, and waits for one while
            all are taken (:func:`agc.training.leases.take_device`); it is the CPU where there is
            none. ``cpu``, ``cuda``, ``cuda:1`` are taken without asking.
        threads: threads of CPU work. Results depend on it in the last bits.
        fast: allow algorithms that are not deterministic.

    Raises:
        UserError: no such device, or ``AGC_DEVICES`` is malformed.
    """
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(not fast)
    torch.backends.cudnn.benchmark = fast
    if device == "auto":
        lease = take_device()
        device = "cpu" if lease is None else lease.device
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
    return Machine(device, name, threads, not fast)
