"""A training step as a script would write it, and what could make it faster on this device."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from agc.benchmarks.clock import Clock, Step, compared
from agc.benchmarks.launches import looked_at
from agc.gradients.autocast import Precision, autocast, use_products
from agc.machine.memory import first_line


@dataclass(frozen=True)
class Lever:
    """A way to run the same step.

    Attributes:
        precision: of its products.
        channels_last: memory format of network and images.
        filled: whether new memory is filled with NaN, as torch does in deterministic runs.
        fast: algorithms that are not deterministic, the fastest of which is looked for.
        graph: loss and gradient as one CUDA graph.
        compiled: the network by ``torch.compile``.
    """

    precision: Precision = "float32"
    channels_last: bool = False
    filled: bool = False
    fast: bool = False
    graph: bool = False
    compiled: bool = False


HALF: dict[str, Any] = {"precision": "bfloat16", "channels_last": True}

LEVERS = {
    "float32": Lever(),
    "float32, new memory filled": Lever(filled=True),
    "float32, channels_last": Lever(channels_last=True),
    "float32, compiled": Lever(compiled=True),
    "bfloat16": Lever("bfloat16"),
    "bfloat16, channels_last": Lever(**HALF),
}
"""What a CPU has too."""

CARD_LEVERS = {
    "tf32": Lever("tf32"),
    "tf32, channels_last": Lever("tf32", channels_last=True),
    "tf32, not deterministic": Lever("tf32", fast=True),
    "tf32, graph": Lever("tf32", graph=True),
    "tf32, channels_last, graph": Lever("tf32", channels_last=True, graph=True),
    "bfloat16, channels_last, graph": Lever(**HALF, graph=True),
    "bfloat16, channels_last, compiled": Lever(**HALF, compiled=True),
}


def levers(
    net: nn.Module, images: Tensor, labels: Tensor, clock: Clock, seconds: float
) -> list[dict[str, Any]]:
    """The plain step under each setting, one after the other, beside the first of them.

    A setting that fails says why in its row and leaves the others alone.

    Args:
        net: in training mode; it stays as it is.
        images: float [N, C, H, W], there already.
        labels: int64 [N].
        clock: of the device.
        seconds: for all of them, about; those that no time is left for are not there.
    """
    wanted = LEVERS | (CARD_LEVERS if clock.cuda else {})
    rows: list[dict[str, Any]] = []
    first = 0.0
    for name, lever in wanted.items():
        if rows and clock.left <= 0:
            break
        try:
            with switched(lever):
                step = plain_step(net, images, labels, lever)
                taken = clock.in_turns({name: step}, seconds / len(wanted))[name]
                row = compared(taken, [first or taken[0]] * len(taken), len(images))
                row |= looked_at(step, clock)
        except RuntimeError as error:
            rows.append({"name": name, "error": first_line(error)})
            continue
        first = first or row["ms"]
        rows.append({"name": name, **row, "ratio": row["ms"] / first})
    return rows


def plain_step(net: nn.Module, images: Tensor, labels: Tensor, lever: Lever) -> Step:
    """Zero the gradients, forward, backward, SGD with momentum: on one batch, which is there.

    Args:
        net: in training mode; a copy of it is trained.
        images: float [N, C, H, W].
        labels: int64 [N].
        lever: how; its settings of the process are those of :func:`switched`.
    """
    kind = torch.channels_last if lever.channels_last else torch.contiguous_format
    net = copy.deepcopy(net).to(memory_format=kind)
    images = images.contiguous(memory_format=kind)
    call = torch.compile(net) if lever.compiled else net
    optimizer = torch.optim.SGD(
        net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4
    )

    def gradient() -> None:
        with autocast(images, lever.precision):
            loss = nn.functional.cross_entropy(call(images), labels)
        loss.backward()

    if lever.graph:
        optimizer.zero_grad()
        replay = _captured(gradient, optimizer)
        return lambda: (replay(), optimizer.step())

    def step() -> None:
        optimizer.zero_grad()
        gradient()
        optimizer.step()

    return step


def _captured(gradient: Callable[[], None], optimizer: torch.optim.Optimizer) -> Step:
    """The gradient as a graph, which writes to the same ``.grad`` each time."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            optimizer.zero_grad()
            gradient()
    torch.cuda.current_stream().wait_stream(side)
    optimizer.zero_grad()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        gradient()
    return graph.replay


@contextmanager
def switched(lever: Lever) -> Iterator[None]:
    """The process's settings as a lever wants them, within the block; products stay as it leaves
    them, as every network that is built sets its own.
    """
    before = torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    benchmark = torch.backends.cudnn.benchmark
    use_products(lever.precision)
    try:
        torch.use_deterministic_algorithms(not lever.fast)
        torch.utils.deterministic.fill_uninitialized_memory = lever.filled
        torch.backends.cudnn.benchmark = lever.fast
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = filled
        torch.backends.cudnn.benchmark = benchmark
