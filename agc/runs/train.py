"""A cell's run on the disk: lock, resume, epochs, checkpoints, and the files of a finished cell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agc.evaluation.diagnostics import Watched
from agc.evaluation.topology import TopologyWatch
from agc.grids.cell import Cell
from agc.machine.determinism import determinism_errors
from agc.machine.device import Machine
from agc.machine.memory import memory_errors
from agc.machine.provenance import now
from agc.machine.stop import Stopped, StopRequest
from agc.processes.team import Team
from agc.records import checkpoint
from agc.records.done import is_trained
from agc.records.folder import CellFolder
from agc.records.read import TIMING_COLUMNS
from agc.records.record import SELECTION_KEY
from agc.records.result import REACHED, write_result
from agc.runs.measure import epoch_row, tested_at
from agc.runs.start import find_start
from agc.training.build import build
from agc.training.graphed import use_graphs
from agc.training.loop import train
from agc.training.run import Run

PROGRESS = (
    *("rows", "timings", "layers", "measured"),
    *("best", "best_state", "seconds", "started"),
)
"""What of a run outlives a kill, beside what the loop works with."""


class CellRun:
    """Trains one cell in its folder, or goes on where a killed run left off.

    Args:
        cell: what to train.
        folder: the cell's folder; made if it is not there.
        machine: from :func:`agc.machine.device.prepare_machine`.
        checkpoint_interval: seconds between checkpoints; 0 writes one after each epoch.
        on_epoch: called with each epoch's row, for a progress bar.
        watch: epochs in which to measure gradients (:mod:`agc.evaluation.diagnostics`); the
            training has the same bits, and its seconds do not count the measuring.
        stop: may ask for the end of the training before its last epoch.
        team: the processes that train the cell together; one of them writes.
    """

    def __init__(
        self,
        cell: Cell,
        folder: Path,
        machine: Machine,
        checkpoint_interval: float = 30.0,
        on_epoch: Callable[[dict[str, Any]], None] = lambda row: None,
        watch: Iterable[int] = (),
        stop: StopRequest | None = None,
        team: Team | None = None,
    ) -> None:
        self.cell = cell
        self.folder = folder
        self.machine = machine
        self.checkpoint_interval = checkpoint_interval
        self.on_epoch = on_epoch
        self.watch = frozenset(watch)
        self.stop = stop if stop is not None else StopRequest()
        self.team = team if team is not None else Team()
        self.files = CellFolder(folder, cell, writes=self.team.leads)
        self.watched: Watched | None = None
        self.measured: list[dict[str, Any]] = []
        self.path = folder / "checkpoint.pt"
        self.rows: list[dict[str, Any]] = []
        self.timings: list[dict[str, Any]] = []
        self.layers: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.best_state: dict[str, dict[str, Tensor]] = {}
        self.seconds = {"setup": 0.0, "checkpoint": 0.0}
        self.started = now()
        self.started_from: str | None = None

    def train(self) -> str:
        """Train and write the files.

        Returns:
            ``finished``, ``diverged``, or ``skipped`` if the result was there.

        Raises:
            UserError: another process trains the cell, a file stands in the way, an operation has
                no deterministic algorithm, or memory is used up, which ``failure.json`` then tells.
            Stopped: it was asked to stop; the next run goes on from the last checkpoint.
        """
        with self.files.held(), memory_errors(self._note_failure), determinism_errors():
            return self._train()

    def _train(self) -> str:
        if is_trained(self.folder, self.cell.slug):
            return "skipped"
        self.files.sweep()
        with self.team:
            self.team.expect(self.cell.training.devices)
            return self._run()

    def _run(self) -> str:
        started, begin = now(), time.perf_counter()
        self.machine.reset_peak_memory()
        start = find_start(self.cell, self.folder.parent)
        run = build(self.cell, self.machine.device, start=start and start.state)
        self.started_from = start and start.digest
        if self.machine.graphs:
            use_graphs(run)
        self.topology = TopologyWatch(run.method)
        first = self._resume(run, started)
        self.seconds["setup"] += time.perf_counter() - begin
        if self.watch:
            self.watched = Watched(run, self.watch, epoch=first - 1)
            self.watched.rows = self.measured
            run.step.observers.append(self.watched)
        try:
            self._epochs(run, first)
            status = "finished"
        except FloatingPointError as error:
            self.files.log(f"diverged: {error}")
            status = "diverged"
        except Stopped as stopped:
            self.files.log(str(stopped))
            raise
        self._finish(run, status)
        return status

    def _resume(self, run: Run, started: str) -> int:
        self.started = started
        if not self.path.exists():
            self.files.log(f"start on {self.machine.device} ({self.machine.name})")
            return 1
        epoch, progress = checkpoint.load(self.path, run)
        self.topology.load_state_dict(progress["topology"])
        for key in PROGRESS:
            setattr(self, key, progress[key])
        self.files.log(f"resumed after epoch {epoch}")
        return epoch + 1

    def _epochs(self, run: Run, first: int) -> None:
        last_save = begin = time.perf_counter()
        worked = time.process_time()
        if self.stop.asked:
            raise Stopped(f"stopped by {self.stop.signal} before epoch {first}")
        for epoch, losses in train(run, first, self._end_if_overdue):
            loss = run.step.mean(losses.double().mean()).item()
            trained = time.perf_counter()
            measuring = self._measuring()
            with run.meter.pause(), run.communication.evaluated():
                row, layers = epoch_row(run, epoch, loss, self.topology)
            self.layers += layers
            evaluated = time.perf_counter()
            busy = time.process_time() - worked - measuring
            seconds = (trained - begin - measuring, evaluated - trained, busy)
            self.timings.append(dict(zip(TIMING_COLUMNS, (epoch, *seconds), strict=True)))
            if not all(torch.isfinite(torch.tensor([loss, row["validation_loss"]]))):
                raise FloatingPointError(f"epoch {epoch}: training loss {loss}")
            self.rows.append(row)
            with run.communication.evaluated():
                self._keep_best(run, row)
            self.files.log(
                f"epoch {epoch}: loss {loss:.4f}, validation {row['validation_accuracy']:.4f}"
            )
            last = epoch == self.cell.training.epochs
            if last:
                self._test_best(run)
            self.on_epoch(row)
            due = evaluated - last_save >= self.checkpoint_interval
            leave, due = self.team.any(self.stop.asked, due, device=self.machine.device)
            if (leave or due) and not last:
                checkpoint.save(self.path, run, epoch, self._progress(), self.team)
                last_save = time.perf_counter()
                self.seconds["checkpoint"] += last_save - evaluated
            if leave and not last:
                raise Stopped(f"stopped by {self.stop.signal or 'a signal'} after epoch {epoch}")
            begin, worked = time.perf_counter(), time.process_time()

    def _end_if_overdue(self) -> None:
        if self.stop.overdue:
            epoch = len(self.rows) + 1
            raise Stopped(f"stopped by {self.stop.signal} within epoch {epoch}")

    def _measuring(self) -> float:
        """Seconds that measuring gradients took since the last call."""
        if self.watched is None:
            return 0.0
        seconds, self.watched.seconds = self.watched.seconds, 0.0
        return seconds

    def _progress(self) -> dict[str, Any]:
        return {
            "topology": self.topology.state_dict(),
            **{key: getattr(self, key) for key in PROGRESS},
        }

    def _keep_best(self, run: Run, row: dict[str, Any]) -> None:
        reached = row["sparsity"] >= run.method.target - REACHED
        # Robust overfitting: clean accuracy may still rise where robust accuracy falls.
        key = SELECTION_KEY if SELECTION_KEY in row else "validation_accuracy"
        if reached and (self.best is None or self._order(row, key) > self._order(self.best, key)):
            self.best = row
            now = {"state": run.model.state_dict(), "masks": run.method.masks}
            self.best_state = {
                kind: {name: tensor.detach().clone() for name, tensor in tensors.items()}
                for kind, tensors in now.items()
            }

    def _order(self, row: dict[str, Any], key: str) -> tuple[float, float]:
        """What epochs are chosen by: a measure, and the loss where the cell breaks ties by it."""
        by_loss = self.cell.evaluation.ties == "loss"
        return row[key], -row["validation_loss"] if by_loss else 0.0

    def _test_best(self, run: Run) -> None:
        """Measure the test images at the best epoch's weights, where that epoch has not."""
        if self.best is None or self.best["test_accuracy"] is not None:
            return
        begin = time.perf_counter()
        with run.meter.pause():
            found = tested_at(run, self.best_state["state"])
        # Out of a checkpoint, the best row need not be the object that is among the rows.
        self.best = self.rows[self.best["epoch"] - 1]
        self.best.update(found)
        self.timings[-1]["evaluation_seconds"] += time.perf_counter() - begin

    def _finish(self, run: Run, status: str) -> None:
        if not self.files.writes:
            return
        write_result(
            self.folder,
            run,
            status,
            rows=self.rows,
            timings=self.timings,
            layers=self.layers,
            best=self.best,
            best_state=self.best_state,
            provenance=self._provenance(),
            seconds=self.seconds,
        )
        self.path.unlink(missing_ok=True)
        self.files.log(status)

    def _provenance(self) -> dict[str, Any]:
        """Of the machine, of the moment, and of the weights that the training started from."""
        moments = {"started": self.started, "finished": now()}
        weights = {} if self.started_from is None else {"start": self.started_from}
        return {**self.machine.provenance(), **moments, **weights}

    def _note_failure(self, reason: str) -> None:
        self.files.note_failure(len(self.rows), reason)
        self.files.log(f"out of memory: {reason}")
