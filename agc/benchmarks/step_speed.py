"""How long a step of a cell's kind takes here: what plans are predicted from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from statistics import median, quantiles
from typing import Any

import torch

from agc.benchmarks.training_steps import endless
from agc.datasets.shared.loader import Batch, in_order
from agc.errors import UserError
from agc.gradients.modes import evaluating
from agc.grids.cell import Cell
from agc.machine.device import Machine
from agc.machine.memory import first_line, is_out_of_memory, peak_memory, reset_peak_memory
from agc.planning.calibration import Calibration, Timing
from agc.planning.declared import units_per_epoch
from agc.planning.kinds import describe, kind, plain
from agc.planning.seconds import steps_per_epoch
from agc.training.build import build, load_dataset
from agc.training.graphed import use_graphs
from agc.training.loop import DataPass
from agc.training.run import Run

SECONDS = 2.0
"""Of steps that are timed, unless they are too few by then."""
LEAST, MOST = 5, 200
"""Steps that are timed."""
LONGEST = 10.0
"""Seconds that a step may take; one that would take longer is timed with fewer images."""
EVALUATED = 512
"""Images of an evaluation that is timed."""


class StepTimer:
    """Times calls: by the thread's own time on one thread of a processor, else until the device is
    done.

    Attributes:
        load: seconds of the clock for a second, of each call.
    """

    def __init__(self, device: str, threads: int) -> None:
        self.device = device
        self.cuda = torch.device(device).type == "cuda"
        self.own = not self.cuda and threads == 1
        self.load: list[float] = []

    def __call__(self, call: Callable[[], object]) -> float:
        """Seconds that a call takes."""
        self._wait()
        begin, own = time.perf_counter(), time.process_time()
        call()
        self._wait()
        seconds = time.perf_counter() - begin
        used = time.process_time() - own
        if not self.own:
            return seconds
        self.load.append(seconds / max(used, 1e-9))
        return used

    def repeat(self, call: Callable[[], object], seconds: float, warm_up: int = 1) -> list[float]:
        """Seconds of each of several calls, for about so many seconds in all."""
        for _ in range(warm_up):
            call()
        found, begin = [], time.perf_counter()
        while len(found) < LEAST or (len(found) < MOST and time.perf_counter() - begin < seconds):
            found.append(self(call))
        return found

    def _wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize(self.device)


def calibrate(
    cells: Iterable[Cell], machine: Machine, told: Mapping[str, Any], say: Callable[[str], None]
) -> tuple[Calibration, dict[str, str]]:
    """Time each kind of cells for a few seconds.

    Args:
        cells: one of each kind.
        machine: from :func:`agc.machine.device.prepare_machine`.
        told: the same as :func:`agc.planning.calibration.this_machine` has it.
        say: told what is timed, before it is.

    Returns:
        What was found, and why kinds could not be timed.
    """
    timings, reasons, start = {}, {}, 0.0
    for cell in cells:
        say(describe(cell))
        try:
            if not start:  # the first cell of a process pays for the imports of all
                build(plain(cell), machine.device)
                start = time.process_time()
            timings[kind(cell)] = time_kind(cell, machine)
        except UserError as error:
            reasons[kind(cell)] = str(error)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reasons[kind(cell)] = f"out of memory: {first_line(error)}"
    return Calibration(told, start, timings), reasons


def time_kind(cell: Cell, machine: Machine) -> Timing:
    """Time what cells of this one's kind do.

    Raises:
        UserError: the data set is not on this machine, or the cell cannot be built.
    """
    device = machine.device
    clock, made = StepTimer(device, machine.threads), []
    reset_peak_memory()
    before = peak_memory()
    setup = clock(lambda: made.append(build(plain(cell), device)))
    run, size = made.pop(), cell.training.batch_size
    images = _bearable(run, clock)
    if images < size:
        run = build(plain(cell, images), device)
    if machine.graphs:  # as trainings have it
        use_graphs(run)
    run.step.begin_epoch(DataPass(run, 1))
    batches = endless(run, "calibration")
    steps = clock.repeat(lambda: run.step(next(batches)), SECONDS, warm_up=3)
    low, *_, high = quantiles(steps, n=10)
    gradient, prepare = _parts(run, clock)
    forward, attack = _evaluations(run, clock)
    ratio, total = size / images, len(load_dataset(cell).train)
    state, prunable, layers = sizes(run)
    return Timing(
        batch=images,
        step=median(steps) * ratio,
        step_low=low * ratio,
        step_high=high * ratio,
        gradient=gradient * ratio,
        prepare=prepare * ratio,
        forward=forward,
        attack=attack,
        setup=setup,
        load=median(clock.load) if clock.load else 1.0,
        memory=before + (peak_memory() - before) * ratio,
        train_images=total,
        test_images=len(run.test),
        replays=len(run.loader) / steps_per_epoch(run.cell, total),
        state=state,
        prunable=prunable,
        layers=layers,
    )


def sizes(run: Run) -> tuple[int, int, int]:
    """Bytes of weights and buffers, of prunable weights, and their number."""
    state, pruned = run.model.state_dict().values(), run.method.parameters.values()
    whole, part = (sum(t.numel() * t.element_size() for t in found) for found in (state, pruned))
    return whole, part, len(pruned)


def _bearable(run: Run, clock: StepTimer) -> int:
    """Images of a step that does not take too long, from the time of a pass of two."""
    images, size = next(_raw(run)).images[:2], run.loader.batch_size
    with evaluating(run.model), torch.no_grad():
        run.model(images)
        seconds = clock(lambda: run.model(images)) / len(images)
    longest = LONGEST / (seconds * units_per_epoch(run.cell))
    return max(2, min(size, int(longest)))


def _parts(run: Run, clock: StepTimer) -> tuple[float, float]:
    """Seconds of the gradient of a batch's loss, and of the attack that makes the batch."""
    batch = next(endless(run, "calibration"))

    def gradient() -> None:
        run.optimizer.zero_grad()
        run.loss_fn(run.model, batch).backward()

    found = median(clock.repeat(gradient, SECONDS / 4))
    made, raw = endless(run, "calibration"), _raw(run)
    with_attack = median(clock.repeat(lambda: next(made), SECONDS / 4))
    without = median(clock.repeat(lambda: next(raw), SECONDS / 8))
    return found, max(0.0, with_attack - without)


def _raw(run: Run) -> Iterator[Batch]:
    for epoch in count(1):
        yield from run.loader.epoch(epoch, "calibration")


def _evaluations(run: Run, clock: StepTimer) -> tuple[float, float]:
    """Seconds an image of an evaluation, and of one step of an attack on the finished network."""
    batch = next(in_order(run.test, min(EVALUATED, 8 * run.loader.batch_size)))
    images = batch.images.clone().requires_grad_()

    def forward() -> None:
        with torch.no_grad():
            run.model(batch.images)

    def attack() -> None:
        loss = torch.nn.functional.cross_entropy(run.model(images), batch.labels)
        torch.autograd.grad(loss, images)

    with evaluating(run.model):
        first = median(clock.repeat(forward, SECONDS / 8))
        second = median(clock.repeat(attack, SECONDS / 4))
    return first / len(images), second / len(images)
