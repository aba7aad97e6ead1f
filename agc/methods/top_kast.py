"""Top-KAST: always sparse, with a larger set of weights that learn than of weights that act."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from agc.lazy import torch
from agc.methods.shared.drop_and_grow import Interval
from agc.methods.shared.hidden import HiddenWeights
from agc.registry import METHODS
from agc.sparsity.masks import top_mask

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.gradients.gradient import LossFunction


@METHODS.register(
    "top-kast",
    family="sparse to sparse",
    source="arXiv 2106.03517",
    needs="a copy of the dense weights, the gradient at more weights than are active",
)
class TopKAST(HiddenWeights):
    """The forward pass uses set A of each layer's largest weights; the larger set B learns.

    B holds A and the next largest weights. It takes the gradient at A's network, straight
    through, and an L2 penalty that drives the rest of B down faster, by 1 / density of A, so that
    what does not prove itself leaves. Weights outside B keep their values and are not trained.
    Both sets are chosen anew by magnitude every ``update_interval`` steps, after the optimizer's
    step; a weight that enters A brings its hidden value. No gradient is scored.

    There is no official code. The paper trains without momentum; here optimizer state lives in B
    and is zero outside, so that a weight that comes back to B starts with none. The penalty is
    added to the gradient after correction and clipping, at hidden values too; the optimizer's own
    weight decay acts on B besides.

    Args:
        backward_ratio: weights in B for each in A. The paper pairs forward sparsities 0.8, 0.9
            and 0.95 with backward ones 0.5, 0.8 and 0.9: 2.5, 2 and 2.
        exploration: strength of the penalty on A; a weight's gradient gets strength * weight.
        update_interval: steps between choices; the paper finds 100 as good as 1.
    """

    state = ("backward",)
    made_with: ClassVar[dict[str, str] | None] = {"backward_ratio": "backward_ratio"}

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        backward_ratio: Annotated[float, Field(ge=1)] = 2.0,
        exploration: Annotated[float, Field(ge=0)] = 1e-4,
        update_interval: Interval = 100,
        **options: Any,
    ) -> None:
        self.backward_ratio = backward_ratio
        self.exploration = exploration
        self.update_interval = update_interval
        self.counts: dict[str, int] = {}
        self.backward: dict[str, Tensor] = {}
        """Boolean masks of B."""
        super().__init__(model, optimizer, **options)

    def initial_masks(self, counts: dict[str, int]) -> dict[str, Tensor]:
        """The largest of the dense initial weights."""
        self.counts = dict(counts)
        self.backward = {n: self.largest(n, self.backward_count(n)) for n in counts}
        return {name: self.largest(name, counts[name]) for name in counts}

    def largest(self, name: str, count: int) -> Tensor:
        """Mask of a layer's ``count`` largest weights."""
        return top_mask(self.parameters[name].detach().abs(), count)

    def backward_count(self, name: str) -> int:
        """Size of B in a layer."""
        wanted = round(self.backward_ratio * self.counts[name])
        return min(wanted, self.parameters[name].numel())

    def gradient_active(self) -> dict[str, int]:
        """The gradient is needed in B."""
        return {name: self.backward_count(name) for name in self.masks}

    def update_due(self, step: int) -> bool:
        """Whether the sets are chosen anew after ``step``."""
        return step % self.update_interval == 0

    @contextmanager
    def shown(self, batch: Any, loss_fn: LossFunction) -> Iterator[None]:
        """Show A; the gradient of B stays and gets the penalty."""
        with super().shown(batch, loss_fn):
            yield
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                if parameter.grad is None:
                    continue
                inverse = parameter.numel() / self.counts[name]
                strength = self.exploration * torch.where(self.masks[name], 1.0, inverse)
                parameter.grad.add_(strength.to(parameter.dtype) * self.all_of(name))
                parameter.grad.mul_(self.backward[name])

    def advance(self) -> bool:
        """Leave what is outside B as it was; choose the sets anew when due, and hide."""
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                # Weight decay and momentum reach weights without a gradient too.
                kept = torch.where(self.backward[name], parameter, self.hidden[name])
                parameter.copy_(kept)
            changed = super().advance()
            for name, parameter in self.parameters.items():
                state = self.optimizer.state.get(parameter, {}) if self.optimizer else {}
                for slot in state.values():
                    if torch.is_tensor(slot) and slot.shape == parameter.shape:
                        slot.mul_(self.backward[name])
        return changed

    def forward_masks(self) -> dict[str, Tensor]:
        """Choose B, then A, in each layer that trains."""
        trained = [name for name, p in self.parameters.items() if p.requires_grad]
        for name in trained:
            self.backward[name].copy_(self.largest(name, self.backward_count(name)))
        return {name: self.largest(name, self.counts[name]) for name in trained}
