"""The mechanism of SVRG's family: g + c (u - q).

g is the minibatch gradient, q the same batch's gradient at a reference point, u the mean gradient
there, c a coefficient. As q has mean u, the correction has mean zero for any c. An entry says
where the reference point is, how the mean is made, and what the coefficient is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from agc import rng
from agc.corrections.base import (
    Correction,
    Cost,
    ReferencePoint,
    gradient_of,
    preserved_buffers,
)
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from agc.corrections.base import LossFunction

Gradient = dict[str, "Tensor"]


class ControlVariate(Correction):
    """SVRG's control variate with coefficient 1, renewed at the start of each epoch.

    An epoch costs 9 units a batch: the pass for the mean (3), and in each step the gradient at the
    reference point (3) beside its own (3).
    """

    keeps_buffers: bool = True
    """Whether a pass leaves running statistics as they were (some published code does not)."""

    def __init__(self, model: Module) -> None:
        super().__init__(model)
        self.reference: ReferencePoint | None = None
        self.mean: Gradient = {}
        self.noise = NoiseReplay(model)

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

    def move_reference(self) -> None:
        """Move the reference point to the present weights."""
        if self.reference is None:
            self.reference = ReferencePoint(self.model)
        self.reference.move_to(self.model)

    def mean_gradient(self, batches: Iterable[Any], loss_fn: LossFunction) -> Gradient:
        """Mean over ``batches`` of their mean gradients at the present weights.

        Every training step weighs the same, so every batch does here: a small last one counts as
        much as the others. Buffers and random streams come back as they were.

        Raises:
            ValueError: there are no batches.
        """
        total = self.start_of_sum()
        count = 0
        kept = preserved_buffers(self.model) if self.keeps_buffers else nullcontext()
        with rng.preserved(), kept:
            for batch in batches:
                loss = self.pass_loss(batch, loss_fn)
                for name, gradient in gradient_of(loss, self.parameters).items():
                    total[name] += gradient
                count += 1
        if count == 0:
            raise ValueError("the pass for the mean gradient got no batches")
        return {name: gradient.div_(count) for name, gradient in total.items()}

    def start_of_sum(self) -> Gradient:
        """What the sum of the pass' gradients starts from: zeros, unless a published code leaks."""
        return {name: torch.zeros_like(p) for name, p in self.parameters.items()}

    def pass_loss(self, batch: Any, loss_fn: LossFunction) -> Tensor:
        """Loss of a batch within :meth:`mean_gradient`."""
        return loss_fn(self.model, batch)

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """Add c (u - q) to the gradients.

        Raises:
            RuntimeError: no epoch has begun.
        """
        older = self.reference_gradient(batch, loss_fn)
        with torch.no_grad():
            difference = {name: self.mean[name] - older[name] for name in self.parameters}
            self.add(difference, self.coefficients())

    def reference_gradient(self, batch: Any, loss_fn: LossFunction) -> Gradient:
        """q, with the same random noise as the batch's forward pass had.

        Raises:
            RuntimeError: no epoch has begun.
        """
        if self.reference is None:
            raise RuntimeError("correct was called before begin_epoch")
        with self.noise.replayed():
            return self.reference.gradient(batch, loss_fn)

    def add(self, difference: Gradient, coefficients: Mapping[str, float | Tensor]) -> None:
        """Add c times ``difference`` to the gradients."""
        for name, parameter in self.parameters.items():
            if parameter.grad is not None:
                parameter.grad.add_(difference[name] * coefficients[name])

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """A pass (3), and a second gradient in each step (3)."""
        return Cost(step=3, snapshot=3, prepared_pass=1, tensors=2)

    def state_dict(self) -> dict[str, Any]:
        """The reference point with its buffers, and the mean gradient."""
        reference = None if self.reference is None else self.reference.module.state_dict()
        return {"reference": reference, "mean": self.mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self.mean = dict(state["mean"])
        if state["reference"] is not None:
            self.reference = ReferencePoint(self.model)
            self.reference.module.load_state_dict(state["reference"])


class NoiseReplay:
    """Lets a network with dropout draw the same noise again at another point.

    In the suite a batch carries the seed of its noise; in a loop of one's own the noise comes from
    torch's global generators, whose states are noted here before each forward pass.
    """

    def __init__(self, model: Module) -> None:
        self.state: Tensor | None = None
        self.device_states: list[Tensor] = []
        if any("Drop" in type(module).__name__ for module in model.modules()):
            model.register_forward_pre_hook(self._note)

    def __deepcopy__(self, memo: dict[int, Any]) -> NoiseReplay:
        """Copies of the model share the notes, and make none of their own."""
        return self

    def _note(self, module: Module, args: tuple[Any, ...]) -> None:
        self.state = torch.get_rng_state()
        if torch.cuda.is_initialized():
            self.device_states = torch.cuda.get_rng_state_all()

    @contextmanager
    def preserved(self) -> Iterator[None]:
        """Draw what comes next, and leave both the streams and the notes as they were."""
        noted = self.state, self.device_states
        with rng.preserved():
            yield
        self.state, self.device_states = noted

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """Draw as in the last forward pass; the global streams come back as they were."""
        with rng.preserved():
            if self.state is not None:
                torch.set_rng_state(self.state)
                if self.device_states:
                    torch.cuda.set_rng_state_all(self.device_states)
            yield
