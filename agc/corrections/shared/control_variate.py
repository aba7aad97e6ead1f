"""The mechanism of SVRG's family: g + c (u - q).

g is the minibatch gradient, q the same batch's gradient at a reference point, u the mean gradient
there, c a coefficient. As q has mean u, the correction has mean zero for any c. An entry says
where the reference point is, how the mean is made, and what the coefficient is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

from agc.corrections.shared.older_point import OlderPoint
from agc.cost.units import Cost
from agc.gradients.gradient import loss_and_gradient, preserved_buffers
from agc.gradients.lists import add_to, scale, subtract
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from agc.gradients.gradient import LossFunction

Gradient = dict[str, "Tensor"]


class ControlVariate(OlderPoint):
    """SVRG's control variate with coefficient 1, renewed at the start of each epoch.

    An epoch costs 9 units a batch: the pass for the mean (3), and in each step the gradient at the
    reference point (3) beside its own (3).
    """

    off: ClassVar[dict[str, Any] | None] = None
    """No option: the coefficient is 1 by definition, and the tests put 0 in its place."""
    sparse_gradients = False

    state = ("mean",)
    by_parameter = ("mean",)
    repeatable = True
    by_worker = True

    keeps_buffers: bool = True
    """Whether a pass leaves running statistics as they were (some published code does not)."""

    def __init__(self, model: Module) -> None:
        super().__init__(model)
        self.mean: Gradient = {}

    @property
    def coefficient(self) -> float | Tensor:
        """Weight of the correction, if one number serves all tensors."""
        return 1.0

    def coefficients(self) -> Mapping[str, float | Tensor]:
        """Weight of the correction of each tensor."""
        return dict.fromkeys(self.parameters, self.coefficient)

    def begin_epoch(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Move the reference point here, and take the mean gradient over a pass."""
        self.refresh(batches, loss_fn)

    def refresh(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Renew mean and reference point at the present weights."""
        self.mean = self.mean_gradient(batches, loss_fn)
        self.move_reference()

    def mean_gradient(self, batches: Iterable[Any], loss_fn: LossFunction) -> Gradient:
        """Mean over ``batches`` of their mean gradients at the present weights.

        Every training step weighs the same, so every batch does here: a small last one counts as
        much as the others. Buffers and random streams come back as they were.

        Raises:
            ValueError: there are no batches, or not as many on each process.
        """
        total = self.start_of_sum()
        count = 0
        kept = preserved_buffers(self.model) if self.keeps_buffers else nullcontext()
        with self.noise.preserved(batches), kept:
            for batch in batches:
                found = self.pass_gradient(batch, loss_fn)
                with torch.no_grad():
                    add_to([total[name] for name in found], list(found.values()))
                count += 1
        self.replicas.same_count(count)
        if count == 0:
            raise ValueError("the pass for the mean gradient got no batches")
        if total:
            torch._foreach_div_(list(total.values()), count)
        return self.replicas.mean(total)

    def start_of_sum(self) -> Gradient:
        """What the sum of the pass' gradients starts from: zeros, unless a published code leaks.

        Half precision would lose what many batches add.
        """
        return {
            name: torch.zeros_like(p, dtype=torch.promote_types(p.dtype, torch.float32))
            for name, p in self.parameters.items()
        }

    def pass_gradient(self, batch: Any, loss_fn: LossFunction) -> Gradient:
        """Gradient of a batch within :meth:`mean_gradient`, on this process alone."""
        return loss_and_gradient(self.passes, self.parameters, batch, loss_fn, self.scale)[1]

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """Add c (u - q) to the gradients.

        Raises:
            RuntimeError: no epoch has begun.
        """
        if self.scale.overflowed(self.gradients().values()):
            return
        difference = self.difference(batch, loss_fn)
        with torch.no_grad():
            self.add(difference, self.coefficients())

    def difference(self, batch: Any, loss_fn: LossFunction) -> Gradient:
        """u - q of each tensor that has been trained since the snapshot; nothing if float16
        overflows there.

        Raises:
            RuntimeError: no epoch has begun.
        """
        if self.reference is None or not self.mean:
            raise RuntimeError(f"{type(self).__name__}.correct was called before begin_epoch")
        older = self.reference_gradient(batch, loss_fn)
        if self.scale.overflowed(older.values()):
            return {}
        names = [name for name in self.parameters if name in self.mean and name in older]
        with torch.no_grad():
            found = subtract([self.mean[n] for n in names], [older[n] for n in names])
        return dict(zip(names, found, strict=True))

    def whole_gradient(self) -> Gradient:
        """The present gradient g of every parameter, zero where the batch does not reach."""
        return {
            name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            for name, parameter in self.parameters.items()
        }

    def add(self, difference: Gradient, coefficients: Mapping[str, float | Tensor]) -> None:
        """Add c times ``difference`` to the gradients."""
        gradients = {n: g for n, g in self.gradients().items() if n in difference}
        changes = scale([difference[n] for n in gradients], [coefficients[n] for n in gradients])
        add_to(list(gradients.values()), changes)

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """A pass (3), and a second gradient in each step (3)."""
        return Cost(step=3, snapshot=3, prepared_pass=1, tensors=2)
