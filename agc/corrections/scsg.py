"""SCSG, or streaming SVRG: the mean comes from a mega-batch (Lei and Jordan, AISTATS 2017)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc import rng
from agc.corrections.shared.control_variate import ControlVariate
from agc.cost.units import Cost
from agc.gradients.micro_batches import FirstBatches
from agc.registry import CORRECTIONS

if TYPE_CHECKING:
    from torch.nn import Module

    from agc.gradients.gradient import LossFunction

Count = Annotated[int, Field(ge=1)]


@CORRECTIONS.register("scsg", source="AISTATS 2017, Lei and Jordan")
class SCSG(ControlVariate):
    """g + u - q, where every ``interval`` steps the snapshot is renewed and u is the mean gradient
    of ``batches`` fresh minibatches.

    Args:
        batches: minibatches in a mega-batch.
        interval: steps between snapshots; fixed, where the source draws it.
        seed: of the order in which a data loader gives a mega-batch; the global stream, which a
            loader draws from, does not move within an epoch.
    """

    state = ("steps",)
    spans_epochs = True
    by_worker = False

    def __init__(
        self, model: Module, *, batches: Count = 5, interval: Count = 10, seed: int = 0
    ) -> None:
        super().__init__(model)
        self.seed = seed
        self.count = batches
        self.interval = interval
        self.steps = 0
        self.batches: Iterable[Any] = ()

    def begin_epoch(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Know where minibatches come from: they are asked for while the epoch is under way, so a
        torch loader with persistent workers, which has one iterator, must not be the training's.
        """
        self.batches = batches

    @contextmanager
    def point(self, batch: Any, loss_fn: LossFunction) -> Iterator[None]:
        """Renew the snapshot when it is time."""
        if not self.repeated:
            if self.steps % self.interval == 0:
                seed = rng.derive(self.seed, "scsg", step=self.steps)
                with rng.isolated(seed, self.batches):
                    self.refresh(FirstBatches(self.batches, self.count), loss_fn)
            self.steps += 1
        yield

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """A share of a pass, and a second gradient in each step."""
        share = options["batches"] / options["interval"]
        return Cost(step=3, snapshot=3 * share, prepared_pass=share, tensors=2)
