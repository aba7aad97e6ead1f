"""Loopless SVRG (Kovalev, Horváth and Richtárik, ALT 2020): the snapshot is renewed by chance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc import rng
from agc.corrections.shared.control_variate import ControlVariate
from agc.cost.units import Cost
from agc.lazy import torch
from agc.registry import CORRECTIONS

if TYPE_CHECKING:
    from torch.nn import Module

    from agc.gradients.gradient import LossFunction


@CORRECTIONS.register("l-svrg", source="arXiv 1901.08689")
class LooplessSVRG(ControlVariate):
    """g + u - q, where a coin thrown before each step decides whether the snapshot is renewed, so
    that its age does not depend on where an epoch begins.

    Args:
        refreshes: expected renewals an epoch; one for each step makes every step a full gradient.
        seed: of the coin, the same on all processes.
    """

    state = ("steps",)
    spans_epochs = True
    by_worker = False

    def __init__(
        self,
        model: Module,
        *,
        refreshes: Annotated[float, Field(gt=0)] = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(model)
        self.refreshes = refreshes
        self.seed = seed
        self.steps = 0
        self.batches: Any = ()

    def begin_epoch(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Know where full passes come from; ``batches`` needs a length. They begin while the epoch
        is under way, so a torch loader with persistent workers must not be the training's.
        """
        self.batches = batches

    @contextmanager
    def point(self, batch: Any, loss_fn: LossFunction) -> Iterator[None]:
        """Throw the coin; the first step renews in any case."""
        if not self.repeated:
            generator = rng.generator(self.seed, "l-svrg", step=self.steps)
            coin = torch.rand((), generator=generator).item()
            if self.reference is None or coin < self.refreshes / len(self.batches):
                self.refresh(self.batches, loss_fn)
            self.steps += 1
        yield

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """In expectation: ``refreshes`` passes, and a second gradient in each step."""
        passes = options["refreshes"]
        return Cost(step=3, snapshot=3 * passes, prepared_pass=passes, tensors=2)
