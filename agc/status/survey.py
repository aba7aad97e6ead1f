"""Where all cells of a grid stand, and how much time is left, from what is measured so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from agc.grids.cell import Cell
from agc.grids.grid import Grid
from agc.planning.declared import units, units_per_epoch
from agc.status.stage import DONE, FAILED, RUNNING, STAGES, Span, Stage, read_stage

Kind = tuple[str, str]

PAUSE = 60.0
"""Seconds without work after which the grid counts as not running: jobs take some to start."""


@dataclass(frozen=True)
class Status:
    """Where a grid stands.

    Attributes:
        name: of the grid, or of several.
        planned: number of cells.
        counts: number of cells at each of :data:`~agc.status.stage.STAGES`.
        failed: slug and reason of each cell that failed.
        share: of the whole work, by its predicted time, what is done.
        used: seconds in which cells were at work, pauses left out.
        at_once: cells that were at work at a time, on average over these seconds.
        left: seconds until all but the failed cells are done, if it goes on so; None: unknown.
        attacks_counted: whether ``left`` has the time of the attacks, of which one must have been
            made for that, or none be left.
    """

    name: str
    planned: int
    counts: dict[str, int]
    failed: dict[str, str]
    share: float
    used: float
    at_once: float
    left: float | None
    attacks_counted: bool

    @property
    def complete(self) -> bool:
        """Whether all cells are done."""
        return self.counts[DONE] == self.planned


class Survey:
    """Looks at the cells of grids; a cell that two of them share is one.

    Args:
        grids: at least one.
        results: folder of the results; it need not exist.
    """

    def __init__(self, grids: Sequence[Grid], results: Path) -> None:
        self.name = ", ".join(grid.name for grid in grids)
        self.cells = {cell.slug: cell for grid in grids for cell in grid.cells}
        self.results = results
        self.units = {slug: units(cell) for slug, cell in self.cells.items()}
        # Before anything is measured, the grid's file may know.
        self.reference = {
            _kind(cell): grid.file.reference.seconds_per_unit
            for grid in grids
            if grid.file.reference is not None
            for cell in grid.cells
        }
        self._done: dict[str, Stage] = {}

    def look(self, now: float) -> Status:
        """Look at all cells.

        Args:
            now: seconds since 1970.
        """
        stages = {slug: self._look_at(slug) for slug in self.cells}
        counts = Counter(stage.word for stage in stages.values())
        used, at_once = _at_work(stages.values(), now)
        done, left = self._work(stages)
        known = left is not None and done + left > 0
        return Status(
            name=self.name,
            planned=len(stages),
            counts={word: counts[word] for word in STAGES},
            failed={slug: found.reason for slug, found in stages.items() if found.word == FAILED},
            share=done / (done + left) if known else counts[DONE] / max(1, len(stages)),
            used=used,
            at_once=at_once,
            left=None if left is None else left / (at_once or 1.0),
            attacks_counted=any(found.attacks is not None for found in stages.values())
            or counts[DONE] == len(stages),
        )

    def _look_at(self, slug: str) -> Stage:
        """A record comes last and stays: its cell's files need not be read again."""
        folder = self.results / "cells" / slug
        if slug in self._done and (folder / "record.json").exists():
            return self._done[slug]
        stage = read_stage(folder)
        if stage.word == DONE:
            self._done[slug] = stage
        return stage

    def _work(self, stages: dict[str, Stage]) -> tuple[float, float | None]:
        """Seconds of one process: what is done, and what is left (None: no rate is known).

        Training goes by units, at the rate of the cells of the same data set and architecture;
        attacks by cells. Without such cells, all those there are tell.
        """
        training, attacks = _Rates(self.reference), _Rates({})
        for slug, stage in stages.items():
            kind = _kind(self.cells[slug])
            if stage.training is not None and stage.measured:
                amount = stage.measured * units_per_epoch(self.cells[slug])
                training.add(kind, amount, stage.training.seconds)
            if stage.attacks is not None:
                attacks.add(kind, 1.0, stage.attacks.seconds)
        done, left = 0.0, 0.0
        for slug, stage in stages.items():
            kind = _kind(self.cells[slug])
            rate = training.of(kind)
            if rate is None:
                return 0.0, None
            whole, attacked = self.units[slug] * rate, attacks.of(kind) or 0.0
            part = 1.0 if stage.trained else stage.epochs / self.cells[slug].training.epochs
            ended = whole * part + (attacked if stage.attacks is not None else 0.0)
            done += ended
            if stage.word == FAILED or stage.word == DONE:
                continue
            left += whole + attacked - ended
        return done, left


class _Rates:
    """Seconds per unit of work, by kind of cell.

    Args:
        reference: what is known before anything is measured.
    """

    def __init__(self, reference: dict[Kind, float]) -> None:
        self.reference = reference
        self.amounts: Counter[Kind] = Counter()
        self.seconds: Counter[Kind] = Counter()

    def add(self, kind: Kind, amount: float, seconds: float) -> None:
        """Count work that was measured."""
        self.amounts[kind] += amount
        self.seconds[kind] += seconds

    def of(self, kind: Kind) -> float | None:
        """Rate of a kind, else its reference, else that of all kinds; None: nothing is known."""
        if self.amounts[kind]:
            return self.seconds[kind] / self.amounts[kind]
        if kind in self.reference:
            return self.reference[kind]
        total = self.amounts.total()
        return self.seconds.total() / total if total else None


def _kind(cell: Cell) -> Kind:
    """Cells whose units take about as long: a unit is a pass over the training images."""
    return cell.dataset.name, cell.architecture.name


def _at_work(stages: Collection[Stage], now: float) -> tuple[float, float]:
    """Seconds in which cells were at work, and how many cells on average at a time."""
    spans = [
        Span(s.training.start, now if s.word == RUNNING else s.training.end)
        for s in stages
        if s.training is not None
    ]
    spans += [stage.attacks for stage in stages if stage.attacks is not None]
    used, reached = 0.0, None
    for span in sorted(spans, key=lambda span: span.start):
        if reached is None or span.start > reached + PAUSE:
            reached = span.start
        used += max(0.0, span.end - reached)
        reached = max(reached, span.end)
    return used, sum(span.seconds for span in spans) / used if used > 0 else 0.0
