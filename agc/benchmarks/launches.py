"""What a step asks of a CUDA device: kernels, their time, waits of the host, memory."""

from __future__ import annotations

import time
import warnings
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from agc.benchmarks.clock import Clock, Step


def looked_at(step: Step, clock: Clock) -> dict[str, Any]:
    """``peak_memory`` in bytes, ``waits`` of the host, ``host_ms`` to launch a step, ``kernels``
    and ``kernel_ms``; nothing on a CPU, which launches none.

    Each is of one step of its own, as looking takes time.
    """
    if not clock.cuda:
        return {}
    clock.wait()
    torch.cuda.reset_peak_memory_stats(clock.device)
    step()
    clock.wait()
    found: dict[str, Any] = {"peak_memory": torch.cuda.max_memory_allocated(clock.device)}
    found["waits"] = _waits(step)
    clock.wait()
    begin = time.perf_counter()
    step()
    found["host_ms"] = 1000 * (time.perf_counter() - begin)
    clock.wait()
    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        step()
        clock.wait()
    kernels = [e for e in trace.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    found["kernels"] = len(kernels)
    found["kernel_ms"] = sum(kernel.time_range.elapsed_us() for kernel in kernels) / 1000
    return found


def _waits(step: Step) -> int:
    """How often a step makes the host wait, as torch's own mode notes it."""
    mode = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode(mode)
    return sum("synchroniz" in str(one.message) for one in seen)
