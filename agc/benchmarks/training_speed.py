"""What the suite's training step takes on a device, beside a plain loop in the same process."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from agc.benchmarks.clock import Clock, Step, compared
from agc.benchmarks.launches import looked_at
from agc.benchmarks.official_code import OfficialCode
from agc.benchmarks.plain_loop import HALF, Lever, levers, plain_step
from agc.benchmarks.training_steps import CASES, Measured, case, started
from agc.datasets.shared.loader import Batch
from agc.errors import UserError
from agc.grids.cell import make_cell
from agc.machine.memory import first_line
from agc.training.loop import DataPass, prepared
from agc.training.run import Run

BITS = 6
"""Steps after which the weights of two runs are compared."""

PLAIN = "plain loop"

EAGER = ("rigl none", "rigl agc", "rigl agc pgd-at")
"""Cases that are measured without graphs beside those with them."""

STORED = {"name": "agc", "options": {"store": 4.0}}
UNCHANGED = {"augmentation": {"crop": 0, "flip": False, "locked": True}}

OURS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "compiled": {"compiled": True},
    "gradients stored": UNCHANGED,
    "compiled, gradients stored": {**UNCHANGED, "compiled": True},
}
"""Ways of ours that are measured beside the official code."""

PACKED = (1, 2, 4)
"""Processes that share a card."""

Report = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes:
        networks: architectures.
        batch: images a batch.
        size: pixels a side.
        seconds: for all parts together, about.
        official: folder of the official code's A-ITOP, or None.
        graphs: whether steps are recorded as CUDA graphs; some are measured without, too.
    """

    networks: tuple[str, ...]
    batch: int
    size: int
    seconds: float
    official: Path | None = None
    graphs: bool = False


def measure(settings: Settings, device: str, written: Callable[[Report], None]) -> Report:
    """Measure part by part, the most telling ones first, until the seconds are used up.

    A part that fails says why in its place, and a part that there was no time for is not there.

    Args:
        settings: what.
        device: where.
        written: called with everything so far after each part.

    Returns:
        ``steps`` and ``levers`` by network, ``bits``, ``official`` by network and ``packed``, as
        far as they were made; ``seconds`` of all.
    """
    clock = Clock(device, settings.seconds)
    parts = list(_parts(settings, clock))
    found: Report = {}
    for number, (names, work) in enumerate(parts):
        if clock.left <= 0:
            break
        try:
            made: Any = work(clock.left / (len(parts) - number) / 2)
        except (RuntimeError, ValueError) as error:
            made = {"error": first_line(error)}
        place = found
        for name in names[:-1]:
            place = place.setdefault(name, {})
        place[names[-1]] = made
        written(found | {"seconds": round(clock.passed, 1)})
    return found | {"seconds": round(clock.passed, 1)}


def precisions(clock: Clock) -> dict[str, dict[str, Any]]:
    """Fields of ``training`` by the name of what they mean."""
    plain = "tf32" if clock.cuda else "float32"
    return {plain: {"precision": plain}, "bfloat16, channels_last": HALF}


def _parts(
    settings: Settings, clock: Clock
) -> Iterator[tuple[tuple[str, ...], Callable[[float], Any]]]:
    """Where each part belongs in the report, and what makes it from its seconds."""
    networks = settings.networks
    for kind, training in precisions(clock).items():
        for network in networks:
            yield (
                ("steps", network, kind),
                lambda s, n=network, t=training: steps(n, settings, clock, s, t),
            )
        if kind in ("tf32", "float32"):
            yield ("bits",), lambda s: bits(networks[-1], settings, clock)
            if settings.official is not None:
                for network in networks:
                    yield (
                        ("official", network),
                        lambda s, n=network: official(n, settings, clock, s),
                    )
    for network in networks:
        yield ("levers", network), lambda s, n=network: _levers(n, settings, clock, s)
    yield ("packed",), lambda s: packed(networks[-1], settings, clock, s)


def steps(
    network: str, settings: Settings, clock: Clock, seconds: float, training: dict[str, Any]
) -> list[Report]:
    """A row for the plain loop, and one for each of ``CASES``, which takes turns with it.

    One case is there at a time, as each takes its memory; one that fails says why in its row.
    """
    first = case("dense none", network, settings.batch, settings.size, **training)
    net, batch = _net_and_batch(started(first, clock.device))
    lever = Lever(training["precision"], training.get("channels_last", False))
    plain = plain_step(net, batch.images, batch.labels, lever)
    wanted = {name: (name, settings.graphs) for name in CASES}
    if settings.graphs:
        wanted |= {f"{name}, eager": (name, False) for name in EAGER if name in CASES}
    share = seconds / (len(wanted) + 1)
    taken = clock.in_turns({PLAIN: plain}, share)[PLAIN]
    rows = [{"name": PLAIN, **_row(taken, taken, plain, settings, clock)}]
    for title, (name, graphs) in wanted.items():
        if clock.left <= 0:
            break
        cell = case(name, network, settings.batch, settings.size, **training)
        try:
            row = _case(started(cell, clock.device, graphs), plain, share, settings, clock)
        except RuntimeError as error:
            row = {"error": first_line(error)}
        rows.append({"name": title, **row})
    return rows


def _case(
    measured: Measured, plain: Step, seconds: float, settings: Settings, clock: Clock
) -> Report:
    taken = clock.in_turns({PLAIN: plain, "case": measured.step}, seconds)
    row = _row(taken["case"], taken[PLAIN], measured.step, settings, clock)
    units = measured.unit_ratio
    more = {"units": units, "over_units": row["ratio"] / units, "pass_ms": measured.pass_ms}
    return row | more


def _row(
    taken: list[float], plain: list[float], step: Step, settings: Settings, clock: Clock
) -> Report:
    row = compared(taken, plain, settings.batch) | looked_at(step, clock)
    busy = {"busy": min(1.0, row["kernel_ms"] / row["ms"])} if "kernel_ms" in row else {}
    return row | busy


def bits(network: str, settings: Settings, clock: Clock) -> dict[str, bool]:
    """Whether two runs of a few corrected steps leave the same bits, by precision; the second is
    without graphs, if there are any.
    """

    def digest(training: dict[str, Any], graphs: bool) -> str:
        cell = case("rigl agc", network, settings.batch, settings.size, **training)
        measured = started(cell, clock.device, graphs)
        for _ in range(BITS):
            measured.step()
        content = hashlib.sha256()
        for tensor in measured.run.model.state_dict().values():
            content.update(tensor.cpu().contiguous().numpy().tobytes())
        return content.hexdigest()

    return {
        kind: digest(how, settings.graphs) == digest(how, False)
        for kind, how in precisions(clock).items()
    }


def official(network: str, settings: Settings, clock: Clock, seconds: float) -> Report:
    """Milliseconds a batch of an epoch of the official code and of ours, each with its pass.

    All have their data on the device. Ours augments them, but where it stores gradients, and does
    what the official loop does then: the same images in the pass and in the steps. ``ratio`` is
    each of ours over the official one.
    """
    kind = next(iter(precisions(clock).values()))
    epochs: dict[str, Step] = {}
    ours: dict[str, Report] = {}
    for name, more in OURS.items():
        cell = case("rigl agc", network, settings.batch, settings.size, **kind, **more)
        if "augmentation" in more:
            cell = make_cell({**cell.model_dump(), "correction": STORED})
        try:
            run = started(cell, clock.device, settings.graphs).run
        except UserError as error:  # nothing to compile with, or no room for a store
            ours[name] = {"error": str(error)}
            continue
        epochs[name] = _epochs(run)
    batches = [(batch.images, batch.labels) for batch in run.loader.epoch(1)]
    epochs["official"] = OfficialCode(settings.official, run.model, batches).epoch
    taken = clock.in_turns(epochs, seconds, number=1)
    theirs = taken.pop("official")
    for name, ms in taken.items():
        ratio = median(a / b for a, b in zip(ms, theirs, strict=True))
        ours[name] = {"ms": median(ms) / len(batches), "ratio": ratio}
    return {"official": median(theirs) / len(batches), "ours": ours}


def _epochs(run: Run) -> Step:
    """Makes the next epoch of a run with each call: what comes before its steps, and them."""
    numbers = count(1)

    def epoch() -> None:
        number = next(numbers)
        run.step.begin_epoch(DataPass(run, number, run.correction.pass_images))
        for batch in prepared(run, number, "train"):
            run.step(batch)

    return epoch


def packed(network: str, settings: Settings, clock: Clock, seconds: float) -> list[Report]:
    """Steps a second of several processes together that share the device."""
    rows: list[Report] = []
    for number in PACKED if clock.cuda else PACKED[:1]:
        command = [sys.executable, "-m", "agc.benchmarks.packed_steps", clock.device, network]
        command += [str(settings.batch), str(settings.size), str(seconds / len(PACKED))]
        command += ["graphs" if settings.graphs else "eager"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        children = [subprocess.Popen(command, **pipes) for _ in range(number)]
        for child in children:
            child.stdout.readline()  # it is ready
        for child in children:
            child.stdin.write("\n")
            child.stdin.flush()
        speeds = [json.loads(child.communicate()[0]) for child in children]
        rows.append({"processes": number, "steps_per_second": sum(speeds)})
    return [{**row, "ratio": row["steps_per_second"] / rows[0]["steps_per_second"]} for row in rows]


def _levers(network: str, settings: Settings, clock: Clock, seconds: float) -> list[Report]:
    measured = started(case("dense none", network, settings.batch, settings.size), clock.device)
    net, batch = _net_and_batch(measured)
    return levers(net, batch.images, batch.labels, clock, seconds)


def _net_and_batch(measured: Measured) -> tuple[Any, Batch]:
    """The network of a run in training mode, and a batch for it."""
    batch = next(measured.run.loader.epoch(1))
    return measured.run.model.train(), batch
