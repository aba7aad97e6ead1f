"""Device, threads and determinism of a training process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

from agc.errors import UserError
from agc.provenance import provenance


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
        device: ``auto`` takes a CUDA device if there is one; else ``cpu``, ``cuda``, ``cuda:1``.
        threads: threads of CPU work. Results depend on it in the last bits.
        fast: allow algorithms that are not deterministic.

    Raises:
        UserError: no such device.
    """
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(not fast)
    torch.backends.cudnn.benchmark = fast
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]
        raise UserError(f"device {device!r} is not there: {reason}") from error
    name = torch.cuda.get_device_name(device) if kind == "cuda" else "cpu"
    return Machine(device, name, threads, not fast)
