"""Lottery tickets: iterative magnitude pruning with rewinding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from agc.lazy import torch
from agc.methods.base import Distribution, SparseMethod
from agc.registry import METHODS
from agc.sparsity.nan import looked_at_together
from agc.sparsity.ranking import largest_weights, refuse_frozen

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.gradients.gradient import LossFunction


@METHODS.register(
    "lottery",
    family="dense to sparse",
    source="arXiv 1803.03635, 1903.01611",
    needs="several trainings, and a copy of the initial weights",
)
class Lottery(SparseMethod):
    """Trains in rounds: after each but the last, the smallest of the trained weights are pruned,
    and the others go back to what they were early in the first round.

    The rounds share the training's steps equally, and the learning rate starts anew with each.
    Between rounds buffers go back too, and the optimizer's state is cleared, as when
    facebookresearch/open_lth trains each level from a saved network. The density falls by the same
    factor after each round. Nothing is grown, no gradient is read, and frozen layers keep
    their weights. The pruning comes after the optimizer step of a round's last step, so what is
    measured at the end of that epoch is the rewound network. The sources prune a fifth of the
    weights a round, in as many rounds as that takes, each a whole training; after late rewinding
    they also go on with the learning rate from the step of the copy, where a round here starts
    from its beginning.

    Args:
        total_steps: optimizer steps of all rounds together.
        rounds: number of trainings; the last one has the exact sparsity. The training's epochs must
            be a multiple.
        rewind_fraction: the copy is taken at this fraction of the first round; 0 is before
            the first step.
        distribution: the sources rank all weights together, ``global``; here each layer keeps at
            least its largest weight.

    Raises:
        InfeasibleSparsityError: so much is frozen that the sparsity cannot be reached.
        ValueError: there are fewer steps than rounds.
    """

    state = ("copy",)
    several_rounds: ClassVar[bool] = True
    made_with: ClassVar[dict[str, str] | None] = {"rounds": "number"}
    by_parameter = ("copy",)

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        total_steps: int,
        rounds: Annotated[int, Field(ge=2)] = 5,
        rewind_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        distribution: Distribution = "global",
        **options: Any,
    ) -> None:
        if total_steps < rounds:
            raise ValueError(f"lottery: {total_steps} steps are too few for {rounds} rounds")
        super().__init__(model, optimizer, distribution=distribution, **options)
        self.refuse_frozen()
        self.number = rounds
        self.starts = [k * total_steps // rounds for k in range(1, rounds)]
        self.rewind_step = int(rewind_fraction * self.starts[0])
        self.copy = {name: t.detach().clone() for name, t in self._tensors().items()}

    def begin(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Look once more which layers are frozen."""
        self.refuse_frozen()

    def refuse_frozen(self) -> None:
        """Make sure that the layers that train can be pruned enough."""
        refuse_frozen(self.parameters, self.masks, self.sparsity_wanted, self.distribution)

    @property
    def rounds(self) -> int:
        """As often as the network is trained."""
        return self.number

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """Rounds begin with an epoch, as the learning rate does."""
        epochs, rounds = cell.training.epochs, options["rounds"]
        return f"{epochs} epochs are no multiple of {rounds} rounds" if epochs % rounds else None

    def initial_masks(self, counts: dict[str, int]) -> dict[str, Tensor]:
        """All ones."""
        return {n: torch.ones_like(p, dtype=torch.bool) for n, p in self.parameters.items()}

    def update_due(self, step: int) -> bool:
        """Whether ``step`` (1-based) is the last of a round that another one follows."""
        return step in self.starts

    def advance(self) -> bool:
        """Mask; copy the weights, or prune and rewind them, when due."""
        super().advance()
        if self.steps == self.rewind_step:
            self._take(self._tensors(), self.copy)
        if not self.takes_update():
            return False
        start = self.scheduled
        density = (1 - self.sparsity_wanted) ** ((self.starts.index(start) + 1) / len(self.starts))
        share = 1.0 if start == self.starts[-1] else (1 - density) / (self.sparsity_wanted or 1)
        wanted = self.sparsity_wanted, self.distribution, share
        with looked_at_together():
            masks = largest_weights(self.parameters, self.masks, *wanted)
        self._take(self.copy, self._tensors())
        if self.optimizer is not None:
            self.optimizer.state.clear()
        self.set_masks(masks)
        self.made_update()
        return True

    def _tensors(self) -> dict[str, Tensor]:
        """Parameters that train, and buffers."""
        trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        return {**trained, **dict(self.model.named_buffers())}

    @staticmethod
    def _take(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name in source.keys() & target.keys():
                target[name].copy_(source[name])
