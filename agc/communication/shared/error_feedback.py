"""Error feedback: what a compressor leaves out of a message is added to the next one.

With W workers at the weights x, each with an error e and a momentum m of its own::

    y = x - α e                       the point of a worker's gradient g
    m = μ m + g + wd y
    D = e + lr m                      what it wants to send
    c = C(D);  e = D - c              what it sends, and what is left
    u = mean of c over the workers    both ways: s += u; u = C(s); s -= u at the server
    x = x - u

α = 0 is error feedback as it was first (Seide et al., Interspeech 2014; Stich et al.,
arXiv 1809.07599; Karimireddy et al., arXiv 1901.09847), α = 1 step-ahead error feedback. The
virtual iterate x - mean(e) - s moves as uncompressed momentum SGD does with these gradients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from agc.communication.shared.workers import Workers
from agc.compressors.base import Ratio, make_compressor, unfit
from agc.cost.units import Cost
from agc.errors import UserError
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.communication.shared.workers import Tensors

SERVER = "error of the server"
STARTS = ("weights", "zero")


class ErrorFeedback(Workers):
    """Momentum SGD whose workers compress what they send; the optimizer only holds its settings.

    Args:
        workers: how many share each batch.
        compressor: see ``agc list compressors``.
        ratio: of the compressor, if it takes one; null for its default.
        two_way: whether the server compresses the mean, too, with an error of its own, which no
            worker steps ahead.
        average: steps after which workers replace their errors by the mean of them; 0 for never.
        rate_in_error: whether errors are of weights, as above; else of momenta, D = e + m and
            x = x - lr u, so that another learning rate scales what is left of earlier ones.
        start: ``zero`` is the published code's, whose first message is the difference of the
            initial weights to 0: they pass the compressor themselves, and x is C(x) for a start.
        seed: of a compressor's random choices.

    Raises:
        UserError: no such compressor, one that takes no ratio, or an optimizer that is not SGD.
    """

    alpha: float = 0.0
    """α: how much of its error a worker steps ahead by."""

    off: ClassVar[dict[str, Any]] = {"compressor": "identity"}
    made_with: ClassVar[dict[str, str] | None] = {"alpha": "alpha"}

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        *,
        compressor: str = "sign",
        ratio: Ratio | None = None,
        two_way: bool = False,
        average: Annotated[int, Field(ge=0)] = 0,
        rate_in_error: bool = True,
        start: Literal["weights", "zero"] = "weights",
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, **options)
        if reason := unfit(compressor, ratio):
            raise UserError(reason)
        if reason := _other_than_sgd(optimizer):
            raise UserError(f"{type(self).__name__}: {reason}")
        if start not in STARTS:
            raise UserError(f"unknown start {start!r} (known: {', '.join(STARTS)})")
        self.compressor = make_compressor(compressor, ratio, seed)
        self.two_way, self.average = two_way, average
        self.rate_in_error, self.start = rate_in_error, start

    def begin(self) -> None:
        """Average the errors when it is time."""
        if self.average and (self.steps + 1) % self.average == 0:
            errors = [self.errors(number) for number in self.own]
            bits = self.plain_bits(self.parameters)
            self.travelled(bits, bits)
            for name, mean in self.mean(errors).items():
                for own in errors:
                    own[name].copy_(mean)

    def shift(self, number: int) -> Tensors:
        """-α e."""
        if not self.alpha:
            return {}
        errors = self.errors(number).items()
        return {name: e * (-self.alpha * self.unit(name)) for name, e in errors}

    def update(self, gradients: list[Tensors]) -> None:
        """Send what was compressed, and move by the mean of it."""
        with torch.no_grad():
            own = zip(self.own, gradients, strict=True)
            update = self.mean([self._message(number, gradient) for number, gradient in own])
            self._count([len(numbers) for numbers in update.values()])
            if self.two_way:
                update = self._compressed(update, SERVER)
            for name, numbers in update.items():
                weight = self.parameters[name]
                if self.from_zero:
                    weight.zero_()
                weight.add_(self.active.back(name, numbers, weight), alpha=-self.unit(name))
        self.optimizer.step()  # without a gradient it moves nothing: whoever watches it sees a step

    def _count(self, sizes: list[int]) -> None:
        """The bits of a step's messages."""
        up = self.compressor.bits(sizes)
        self.travelled(
            up, up if self.two_way else self.compressor.bits_of_mean(sizes, self.workers)
        )

    @property
    def from_zero(self) -> bool:
        """Whether this step's message begins at 0 instead of the weights."""
        return self.start == "zero" and self.steps == 0

    def unit(self, name: str) -> float:
        """What an error of 1 is in weights: 1, or the learning rate."""
        return 1.0 if self.rate_in_error else self.groups[name]["lr"]

    def _message(self, number: int, gradients: Tensors) -> Tensors:
        """What a worker sends: C(e + lr m), flat; its error is what is left."""
        wanted = {}
        for name, gradient in gradients.items():
            momentum = self._momentum(number, name, gradient)
            numbers = momentum * (self.groups[name]["lr"] / self.unit(name))
            if self.from_zero:
                numbers -= self.parameters[name] / self.unit(name)
            wanted[name] = self.active.of(name, numbers)
        return self._compressed(wanted, f"error of worker {number}")

    def _compressed(self, message: Tensors, error: str) -> Tensors:
        """C(e + message), with e in a slot of the optimizer's state, which keeps the rest."""
        slots = {name: self.slot(name, error) for name in message}
        wanted = {n: self.active.of(n, slots[n]) + numbers for n, numbers in message.items()}
        sent = self.compressor.compress(wanted, self.steps)
        for name, slot in slots.items():
            slot.copy_(self.active.back(name, wanted[name] - sent[name], slot))
        return sent

    def _momentum(self, number: int, name: str, gradient: Tensor) -> Tensor:
        """m = μ m + g + wd y, where y is the point of the gradient."""
        weight, group = self.parameters[name], self.groups[name]
        if group["weight_decay"]:
            point = weight
            if self.alpha:
                error = self.slot(name, f"error of worker {number}")
                point = weight + error * (-self.alpha * self.unit(name))
            gradient = gradient.add(point, alpha=group["weight_decay"])
        if not group["momentum"]:
            return gradient
        return (
            self.slot(name, f"momentum of worker {number}").mul_(group["momentum"]).add_(gradient)
        )

    def errors(self, number: int) -> Tensors:
        """A worker's errors, in the optimizer's state."""
        return {name: self.slot(name, f"error of worker {number}") for name in self.parameters}

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """Another optimizer than momentum SGD, or a ratio that the compressor does not take."""
        optimizer = cell.training.optimizer
        if optimizer.name != "sgd":
            return (
                f"workers have momentum SGD of their own: optimizer {optimizer.name!r} is not sgd"
            )
        if optimizer.nesterov and optimizer.momentum:
            return "workers have momentum SGD of their own, without training.optimizer.nesterov"
        return unfit(options["compressor"], options["ratio"])

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """A worker's error; that of the server if it compresses; the weights to go back to."""
        ahead = options.get("alpha", cls.alpha) > 0
        return Cost(tensors=1 + options["two_way"] + ahead)


def _other_than_sgd(optimizer: Optimizer) -> str | None:
    """Why an optimizer's settings are not those of plain momentum SGD, or None."""
    if not isinstance(optimizer, torch.optim.SGD):
        return f"workers have momentum SGD of their own, got {type(optimizer).__name__}"
    for key in ("nesterov", "dampening", "maximize"):
        if any(group.get(key) for group in optimizer.param_groups):
            return f"workers have momentum SGD of their own, without {key}"
    return None
