"""RigL with stochastic weight averaging: the control of CigL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc import rng
from agc.gradients.micro_batches import parts
from agc.gradients.modes import kept_modes
from agc.lazy import torch
from agc.methods.rigl import RigL
from agc.methods.shared.drop_and_grow import Interval
from agc.registry import METHODS
from agc.sparsity.masks import apply_masks

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.gradients.gradient import LossFunction


@METHODS.register(
    "rigl+swa",
    family="control",
    source="arXiv 1803.05407 on arXiv 1911.11134",
    needs="the dense gradient at updates, a copy of the weights, a pass over the data at the end",
)
class RigLSWA(RigL):
    """RigL; the finished network has the mean of the weights of the last phase.

    The mean is taken over all parameters that train, once an epoch, after the optimizer's step
    (StevenBoys/CigL: from epoch 200 of 250 on); masks are fixed by then, so the mean is as sparse
    as they are. :meth:`end` puts it into the network and estimates the running statistics of
    batch normalisation anew, over one pass through the data in training mode. Training itself,
    updates included, is :class:`~agc.methods.rigl.RigL`'s: with ``average_from`` = 1 it is RigL,
    to the bit.

    Args:
        average_from: fraction of the training from which on weights are averaged; 1 for never.
            Not before ``end_fraction``: the mean over different masks would be denser.
        average_interval: steps between the averaged weights; None is one epoch, which
            :meth:`begin` learns.

    Raises:
        ValueError: averages would begin while masks still change.
    """

    state = ("average", "averaged", "average_interval")
    by_parameter = ("average",)

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        average_from: Annotated[float, Field(gt=0, le=1)] = 0.8,
        average_interval: Interval | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, **options)
        self.average_start = average_from * self.total_steps
        if average_from < 1 and self.average_start < self.end_step:
            raise ValueError(
                f"average_from {average_from:g} comes before end_fraction: the mean of weights "
                "under different masks would have more active weights than any of them"
            )
        self.averages_at_all = average_from < 1
        self.average_interval = average_interval
        self.averaged = 0
        """Number of weights in the mean."""
        self.average: dict[str, Tensor] = {}

    def begin(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Learn the length of an epoch, if averages come once in it."""
        if self.average_interval is None and hasattr(batches, "__len__"):
            self.average_interval = len(batches)

    def advance(self) -> bool:
        """RigL's step; average the weights when due.

        Raises:
            ValueError: nobody said how long an epoch is.
        """
        changed = super().advance()
        if self.averages_at_all and self.steps >= self.average_start:
            if self.average_interval is None:
                raise ValueError("average_interval: call begin with sized batches, or give it")
            if self.steps % self.average_interval == 0:
                self.take_into_average()
        return changed

    def snapshot(self, name: str, parameter: Tensor) -> Tensor:
        """What goes into the mean for one parameter."""
        return parameter

    def take_into_average(self) -> None:
        """Bring the running mean up to date."""
        self.averaged += 1
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                now = self.snapshot(name, parameter)
                if name in self.average:
                    mean = self.average[name]
                    mean.add_(now - mean, alpha=1 / self.averaged)
                else:
                    self.average[name] = now.detach().clone()

    def end(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Take over the mean, and estimate the statistics of batch normalisation for it."""
        if not self.averaged:
            return
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(self.average[name])
        apply_masks(self.parameters, self.masks, self.optimizer)
        self.estimate_statistics(batches, loss_fn)

    def estimate_statistics(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Means over all batches, and over processes, of what batch normalisation measures."""
        kind = torch.nn.modules.batchnorm._BatchNorm
        norms = {
            name: module
            for name, module in self.model.named_modules()
            if isinstance(module, kind) and module.track_running_stats
        }
        if not norms:
            return
        momenta = {name: norm.momentum for name, norm in norms.items()}
        for norm in norms.values():
            # Without a momentum it keeps a plain mean, and the first batch replaces what was
            # there; until then attacks on the model see the old statistics, not none.
            norm.momentum = None
            norm.num_batches_tracked.zero_()
        with kept_modes(self.model), rng.preserved(batches):
            self.model.train()
            for batch in batches:  # an attack may be made here, and needs gradients
                with torch.no_grad():
                    for part in parts(batch):
                        loss_fn(self.model, part)
        for name, norm in norms.items():
            norm.momentum = momenta[name]
            found = {"mean": norm.running_mean, "variance": norm.running_var}
            averaged = self.replicas.mean(found)
            norm.running_mean.copy_(averaged["mean"])
            norm.running_var.copy_(averaged["variance"])
