"""Large batches by local extrapolation (Lin et al., "Extrapolation for Large-batch Training in
Deep Learning", ICML 2020, arXiv 2006.05720).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from agc import rng
from agc.communication.shared.workers import Workers
from agc.cost.units import Cost
from agc.lazy import torch
from agc.registry import COMMUNICATION

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.communication.shared.workers import Tensors

TRUST = 0.001
"""Coefficient of LARS's trust ratio, where the optimizer has none of its own."""


@COMMUNICATION.register(
    "local-extragradient",
    source="ICML 2020, arXiv 2006.05720, abstract",
    bits="32 n",
    state="last g of a worker",
)
class LocalExtragradient(Workers):
    """Each worker takes its gradient at x - γ̂ g', where g' is its own last gradient; the optimizer
    gets their mean, at x.

    Re-implemented from the abstract: which gradient, how far and how scaled are ours. With timm's
    ``lars``, ``lamb`` or ``adamw`` as optimizer it is ExtraLARS and so on. One worker is the
    correction ``extragradient``.

    Args:
        workers: how many share each batch.
        share: γ̂ in learning rates, so that it follows the schedule; null: 1 / workers, the rate of
            a worker's small batch.
        source: what g' is: the worker's own last gradient (``local``), the mean of all workers'
            (``global``), or Gaussian noise of the length of the own one, tensor by tensor
            (``noise``).
        scale: ``trust`` multiplies γ̂ by the trust ratio of LARS, tensor by tensor.
        seed: of the noise.
    """

    off: ClassVar[dict[str, Any]] = {"share": 0.0}
    made_with: ClassVar[dict[str, str] | None] = {"source": "source"}

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        *,
        share: Annotated[float, Field(ge=0)] | None = None,
        source: Literal["local", "global", "noise"] = "local",
        scale: Literal["none", "trust"] = "none",
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, **options)
        self.share = 1 / self.workers if share is None else share
        self.source, self.scale, self.seed = source, scale, seed

    def shift(self, number: int) -> Tensors:
        """-γ̂ g'; nowhere in the first step."""
        what = self._slot(number)
        last = {n: self.optimizer.state[p].get(what) for n, p in self.parameters.items()}
        last = {name: gradient for name, gradient in last.items() if gradient is not None}
        lengths = {
            n: self.groups[n]["lr"] * self.share * self._trust(n, g) for n, g in last.items()
        }
        if self.source == "noise":
            last = self._noise(number, last)
        return {name: gradient * -lengths[name] for name, gradient in last.items()}

    def update(self, gradients: list[Tensors]) -> None:
        """Let the optimizer step with the mean, and keep the gradients for the next step."""
        self.take_mean(gradients)
        mean = {name: self.parameters[name].grad for name in gradients[0]}
        self.optimizer.step()
        # Not before: some optimizers fill a state that is empty.
        for number, own in zip(self.own, gradients, strict=True):
            for name, gradient in (mean if self.source == "global" else own).items():
                self.slot(name, self._slot(number)).copy_(gradient)

    def _slot(self, number: int) -> str:
        return "mean gradient" if self.source == "global" else f"gradient of worker {number}"

    def _trust(self, name: str, gradient: Tensor) -> float | Tensor:
        """LARS's ratio of a tensor: η |x| / (|g| + wd |x|), 1 where one of both is 0."""
        if self.scale == "none":
            return 1.0
        group, weight = self.groups[name], self.parameters[name].detach()
        length, slope = weight.norm(), gradient.norm()
        whole = slope + group.get("weight_decay", 0.0) * length
        ratio = group.get("trust_coeff", TRUST) * length / whole
        return torch.where((length > 0) & (slope > 0), ratio, torch.ones_like(ratio))

    def _noise(self, number: int, last: Tensors) -> Tensors:
        """Gaussian noise on active weights, as long as the gradient of the same tensor."""
        draw = rng.generator(self.seed, f"communication/noise/{number}", step=self.steps)
        found = {}
        for name, gradient in last.items():
            noise = torch.randn(gradient.shape, generator=draw, dtype=gradient.dtype)
            noise = noise.to(gradient.device)
            if name in self.sparse.masks:
                noise *= self.sparse.masks[name]
            length = noise.norm()
            found[name] = noise * (gradient.norm() / torch.where(length > 0, length, 1.0))
        return found

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """No pass; the last gradient and the weights to go back to."""
        return Cost(tensors=2)
