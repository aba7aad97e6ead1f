"""Why a gradient correction helps or not: variance with and without it, measured in training."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, count, islice
from typing import Any

import torch
from torch import Tensor, nn

from agc import rng
from agc.corrections.shared.control_variate import ControlVariate
from agc.datasets.shared.loader import Batch
from agc.evaluation.gradient_moments import Moments
from agc.gradients.euclidean import as_real
from agc.gradients.gradient import preserved_buffers
from agc.gradients.loss_scale import gradient_of
from agc.gradients.reference import ReferencePoint
from agc.grids.cell import Cell
from agc.training.build import build
from agc.training.loop import prepared, train
from agc.training.observer import Observer
from agc.training.run import Run

PERCENTS = (2, 11, 33, 100)
"""Where in an epoch to measure, after Defazio and Bottou (arXiv 1812.04529)."""

BATCHES = 24
"""From how many a variance is estimated."""

Masks = Mapping[str, Tensor]
Row = dict[str, Any]


def diagnose(
    cell: Cell,
    epochs: Iterable[int],
    batches: int = BATCHES,
    device: str = "cpu",
    start: Mapping[str, Tensor] | None = None,
) -> tuple[list[Row], int | None]:
    """Train a cell in memory, and measure its gradients in some epochs.

    Args:
        cell: trained with its own method, correction and objective, up to the last of ``epochs``.
        epochs: 1-based.
        batches: how many fresh batches a variance is estimated from; at least 2.
        device: where to train.
        start: the weights that the cell starts from, if it names such.

    Returns:
        A row for each epoch and each of :data:`PERCENTS` (:meth:`Watched.measure` says what is in
        it), and the epoch in which the training diverged, if it did.
    """
    run = build(cell, device, start=start)
    wanted = set(epochs)
    watched = Watched(run, wanted, batches)
    run.step.observers.append(watched)
    for epoch, losses in train(run):
        if not torch.isfinite(losses).all():
            return watched.rows, epoch
        if epoch >= max(wanted):
            break
    return watched.rows, None


class Watched(Observer):
    """Measures between the steps of a run.

    What it measures leaves no trace in the run: neither in weights, gradients, buffers and modes,
    nor in random streams and counted costs.

    Args:
        run: put the new object among its ``step.observers`` before the training starts.
        epochs: in which to measure, 1-based.
        batches: how many for each measurement.
        epoch: the last that was trained before, if the run is resumed.
    """

    def __init__(
        self, run: Run, epochs: Iterable[int], batches: int = BATCHES, epoch: int = 0
    ) -> None:
        self.run = run
        self.correction = run.correction
        self.control = run.correction if isinstance(run.correction, ControlVariate) else None
        self.epochs = frozenset(epochs)
        self.batches = batches
        self.epoch, self.step = epoch, 0
        self.own: ReferencePoint | None = None
        self.masks_then: dict[str, Tensor] = {}
        self.seen: list[tuple[Tensor, int]] = []
        """The reference point when it was last looked at, and how often it had been written to."""
        self.rows: list[Row] = []
        self.seconds = 0.0
        """Spent on measuring: no cost of the training."""

    def epoch_begun(self) -> None:
        """Keep a snapshot where the correction has none itself."""
        self.epoch, self.step = self.epoch + 1, 0
        if self.control is None and self.epoch in self.epochs:
            self.own = self.own or ReferencePoint(self.run.model)
            self.own.move_here()
        self._note_masks()

    def corrected(self) -> None:
        """Some corrections renew their snapshot within an epoch, and no later than here."""
        self._note_masks()

    def stepped(self, changed: bool) -> None:
        """Measure if it is time; several percentages can fall on one step of a short epoch."""
        self.step += 1
        steps = len(self.run.loader)
        due = [p for p in PERCENTS if max(1, round(p * steps / 100)) == self.step]
        if self.epoch in self.epochs and due:
            self._settle()  # what has been launched before is no measuring
            begin = time.perf_counter()
            measured = self.measure()
            self.seconds += time.perf_counter() - begin
            place = {"step": self.step, "steps": steps}
            for percent in due:
                self.rows.append({"epoch": self.epoch, "percent": percent, **place, **measured})

    @property
    def reference(self) -> ReferencePoint | None:
        """The correction's own reference point, else the weights at the epoch's start."""
        return (
            self.correction.reference if isinstance(self.correction, ControlVariate) else self.own
        )

    def measure(self) -> Row:
        """Gradients g here and q at the reference point, of the same fresh batches.

        All batches are attacked at the present weights if the objective does. Variances are summed
        over active weights, and over all in the columns that end in ``_all``.

        Returns:
            ``coefficient``: c that the correction uses now (mean over tensors), if it has one.
            ``ratio_used``, ``ratio_one``, ``ratio_best``, ``ratio_layer``: Var(g - c q) / Var(g)
            for that c, for 1 (SVRG), for the best c, and for the best c of each tensor.
            ``best_coefficient``, ``correlation``, ``scale``: best c, ρ of g and q, and
            s = sd(q) / sd(g); c = ρ / s is best. ``distance``: of weights and reference point,
            relative to the weights. ``pruned_share``, ``grown_share``: of the squared norm of u - q
            on weights that are pruned now, and on those grown since. ``mask_distance``: number of
            weights whose mask differs (Hamming), of ``active_weights`` active ones.
        """
        run, reference = self.run, self.reference
        masks = run.method.masks
        moments = Moments(self.correction.parameters, masks, self.masks_then)
        with (
            run.meter.pause(),
            # With the notes of a correction that replays dropout, if there are any.
            getattr(self.correction, "noise", rng).preserved(),
            preserved_buffers(run.model),
            reference.kept(),
        ):
            for batch in islice(self._fresh(), self.batches):
                # The same noise at both points, however the network draws it.
                with rng.isolated(batch.noise):
                    now = gradient_of(run.loss_fn(run.model, batch), self.correction.parameters)
                with rng.isolated(batch.noise):
                    then = reference.gradient(batch, run.loss_fn)
                moments.add(now, then)
        used = self._coefficients()
        row: Row = {"coefficient": None if used is None else sum(used.values()) / len(used)}
        row |= moments.ratios("active", used)
        row |= {f"{key}_all": value for key, value in moments.ratios("all", used).items()}
        row["distance"] = relative_distance(run.model, reference)
        row |= moments.shares(
            self.correction.mean if isinstance(self.correction, ControlVariate) else None
        )
        differing = (int((mask ^ self.masks_then[name]).sum()) for name, mask in masks.items())
        row["mask_distance"] = sum(differing)
        row["active_weights"] = sum(run.method.active().values())
        return row

    def _fresh(self) -> Iterator[Batch]:
        """Batches of streams that no training uses; the same ones throughout an epoch, so that
        its measurements differ by the weights alone.
        """
        purposes = ("diagnostics" if n == 1 else f"diagnostics {n}" for n in count(1))
        return chain.from_iterable(prepared(self.run, self.epoch, name) for name in purposes)

    def _coefficients(self) -> dict[str, float] | None:
        if self.control is None:
            return None
        # Without a mean there is nothing to correct by yet.
        scale = 1.0 if self.control.mean else 0.0
        return {name: scale * float(c) for name, c in self.control.coefficients().items()}

    def _note_masks(self) -> None:
        """Keep the masks of the moment if the reference point has just come here."""
        if self.reference is None:
            return
        # Whether it has been written to, and not whether it is equal, which the device would tell.
        now = [(tensor, tensor._version) for tensor in self.reference.parameters.values()]
        pairs = zip(now, self.seen, strict=False)
        same = all(a[0] is b[0] and a[1] == b[1] for a, b in pairs)
        if len(now) != len(self.seen) or not same:
            self.masks_then = {name: mask.clone() for name, mask in self.run.method.masks.items()}
        self.seen = now

    def _settle(self) -> None:
        """Wait for the device."""
        if torch.device(self.run.loader.device).type == "cuda":
            torch.cuda.synchronize(self.run.loader.device)


def relative_distance(model: nn.Module, point: ReferencePoint) -> float:
    """Euclidean distance of a network's parameters to a point, relative to their own norm."""
    pairs = [(p, point.values[name]) for name, p in model.named_parameters()]
    with torch.no_grad():
        squares = [
            torch.stack([as_real(p - q).square().sum(), as_real(p).square().sum()])
            for p, q in pairs
        ]
        distance, norm = torch.stack(squares).double().sum(dim=0)
        return (distance / norm).sqrt().item()
