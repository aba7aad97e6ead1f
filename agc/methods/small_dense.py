"""Small-dense: a narrower network with as many weights, the control that needs no masks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from agc import rng
from agc.errors import UserError
from agc.gradients.gradient import preserved_buffers
from agc.gradients.micro_batches import parts
from agc.lazy import torch
from agc.methods.base import SparseMethod
from agc.registry import METHODS
from agc.sparsity.distributions import InfeasibleSparsityError
from agc.sparsity.widths import Widths

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter
    from torch.optim import Optimizer

    from agc.gradients.gradient import LossFunction


@METHODS.register(
    "small-dense", family="control", source="arXiv 1911.11134, section 4", needs="nothing"
)
class SmallDense(SparseMethod):
    """Trains the first channels of every layer, as many as have at most the weights wanted.

    One width factor holds for all layers, the largest that fits, so residual additions fit too;
    the image's channels and the classes are kept whole (:class:`~agc.sparsity.widths.Widths`).
    Biases and normalisation of the other channels are zero from first to last, so these channels
    are zero wherever they go, and the network computes what a narrower one does. It starts from
    the wide network's first channels, not from an initialisation of its own. Nothing is dropped
    or grown, and no gradient is read.

    Raises:
        InfeasibleSparsityError: one channel a layer is too many.
        ValueError: a normalisation mixes channels, so that masked ones would count.
    """

    exact = False

    def __init__(
        self, model: Module, optimizer: Optimizer | None = None, *, sparsity: float, seed: int = 0
    ) -> None:
        super().__init__(model, optimizer, sparsity=sparsity, distribution="global", seed=seed)

    @property
    def target(self) -> float:
        """Sparsity of the narrower network: at least what was asked for."""
        return self.sparsity()

    def initial_masks(self, counts: dict[str, int]) -> dict[str, Tensor]:
        """The first channels of each layer."""
        self.widths = Widths(self.model, self.parameters)
        factors, wanted = self.widths.factors(), sum(counts.values())
        fitting = bisect_right(factors, wanted, key=self.widths.size)
        if not fitting:
            raise InfeasibleSparsityError(
                f"sparsity {self.sparsity_wanted:g} leaves {wanted} weights, and one channel a "
                f"layer has {self.widths.size(factors[0])}"
            )
        self.alpha = factors[fitting - 1]
        self.vectors, self.vector_masks = self.widths.vectors(self.alpha)
        planes = self.widths.planes(self.alpha)
        return {
            name: torch.ones_like(p, dtype=torch.bool) & planes[name].to(p.device)
            for name, p in self.parameters.items()
        }

    def begin(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Make sure, with one batch, that no layer leaves out a channel that is there.

        Raises:
            UserError: one does, as where a network concatenates or shuffles channels.
        """
        ignoring: list[str] = []

        def look(name: str, layer: Module, inputs: Tensor) -> None:
            axis = -1 if isinstance(layer, torch.nn.Linear) else 1
            if inputs.movedim(axis, 0)[self.widths.kept(name, self.alpha)[1] :].any():
                ignoring.append(name)

        handles = [
            layer.register_forward_pre_hook(
                lambda m, args, kwargs, name=name: look(name, m, *args, *kwargs.values()),
                with_kwargs=True,
            )
            for name, layer in self.widths.layers.items()
        ]
        try:
            with rng.preserved(batches), preserved_buffers(self.model), torch.no_grad():
                loss_fn(self.model, parts(next(iter(batches)))[0])
        finally:
            for handle in handles:
                handle.remove()
        if ignoring:
            raise UserError(
                f"small-dense: {ignoring[0]!r} reads more than the first channels of one layer, as "
                "where channels are concatenated; masks make no narrower network of this one"
            )

    def touched(self) -> tuple[dict[str, Parameter], dict[str, Tensor]]:
        """Weights, biases and normalisation."""
        return self.parameters | self.vectors, self.masks | self.vector_masks
