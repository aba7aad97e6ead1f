"""What a step of each kind of cells takes on this machine, measured once and kept.

A machine's file lies in ``calibration`` of the data root (:mod:`agc.datasets.shared.place`). The
measuring itself needs the whole suite: :mod:`agc.benchmarks.step_speed`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock

from agc.datasets.shared.place import data_root
from agc.errors import UserError
from agc.files import read_json, write_json
from agc.machine.hardware import LIMITS, cards, processor

FORMAT = 1
"""Version of the file."""


@dataclass(frozen=True)
class Timing:
    """What one kind of cells takes. All seconds are of one device, or of one thread of a processor
    (its own time, so that other work does not count).

    Attributes:
        batch: images of the step that was timed.
        step: seconds of a training step: batch, attack, forward and backward pass, optimizer.
        step_low: the tenth part of the steps took less.
        step_high: the tenth part of them took more.
        gradient: seconds of the loss and its backward pass.
        prepare: seconds of the attack that prepares a batch; 0 without one.
        forward: seconds an image of an evaluation.
        attack: seconds an image of one step of the attack on a finished network.
        setup: seconds until a cell can be trained.
        load: seconds of the clock for one of these; above 1, the machine did other work too.
        memory: bytes that a process of such cells takes, at its peak.
        train_images: training images of the data set, with those that validation holds out.
        test_images: test images.
        replays: images of an epoch, relative to those that the data set has for it.
        state: bytes of weights and buffers.
        prunable: bytes of those that a method may prune.
        layers: number of them.
    """

    batch: int
    step: float
    step_low: float
    step_high: float
    gradient: float
    prepare: float
    forward: float
    attack: float
    setup: float
    load: float
    memory: float
    train_images: int
    test_images: int
    replays: float
    state: int
    prunable: int
    layers: int


@dataclass(frozen=True)
class Calibration:
    """All kinds that have been timed on a machine.

    Attributes:
        machine: what tells it from others, and names it.
        start: seconds that a process takes before its first cell.
        timings: by kind (:func:`agc.planning.kinds.kind`).
    """

    machine: Mapping[str, Any]
    start: float
    timings: Mapping[str, Timing]

    @property
    def name(self) -> str:
        """The machine in words."""
        device, threads = self.machine["device"], self.machine["threads"]
        shown = self.machine["cpu"] if device == "cpu" else device
        return f"{shown}, {threads} thread{'s' if threads > 1 else ''}"


def this_machine(device: str = "auto", threads: int = 1) -> dict[str, Any]:
    """What a calibration is of, known without torch; its host does not count.

    Args:
        device: as ``agc train`` takes it; ``auto`` is a card where there is one.
        threads: of CPU work.
    """
    found = cards()
    # Slots of the processor may be listed as its devices.
    slots = os.environ.get("AGC_DEVICES", "").startswith("cpu")
    name = "cpu"
    if device.startswith("cuda") or (device.partition("/")[0] == "auto" and found and not slots):
        name = found[0] if found else "cuda"
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = "unknown"
    told = {key: value for key, value in processor().items() if key != "cpu_vendor"}
    told |= {limit: os.environ[limit] for limit in LIMITS if limit in os.environ}
    return {**told, "device": name, "threads": threads, "torch": torch}


def load_calibration(machine: Mapping[str, Any]) -> Calibration:
    """What is kept of a machine; without a timing if nothing is, or if it is of another version."""
    try:
        found = read_json(_path(machine))
        if found["format"] != FORMAT:
            raise KeyError(found["format"])
        known = {field.name for field in fields(Timing)}
        timings = {
            kind: Timing(**timing)
            for kind, timing in found["timings"].items()
            if known == set(timing)
        }
        return Calibration(machine, float(found["start"]), timings)
    except (UserError, KeyError, TypeError, AttributeError, ValueError):
        return Calibration(machine, 0.0, {})


def keep_calibration(calibration: Calibration) -> Path:
    """Add the timings to what is kept of the machine; returns the file.

    Raises:
        UserError: it cannot be written.
    """
    path = _path(calibration.machine)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        with lock:
            older = load_calibration(calibration.machine)
            timings = {**older.timings, **calibration.timings}
            content = {
                "format": FORMAT,
                "machine": dict(calibration.machine),
                "start": calibration.start,
                "timings": {kind: asdict(timing) for kind, timing in timings.items()},
            }
            write_json(path, content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _path(machine: Mapping[str, Any]) -> Path:
    text = json.dumps(dict(machine), sort_keys=True)
    return data_root() / "calibration" / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
