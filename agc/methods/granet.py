"""GraNet: gradual pruning with zero-cost neuroregeneration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc.methods.base import Distribution
from agc.methods.gmp import End, Start
from agc.methods.shared.drop_and_grow import DropAndGrow, Fraction, Interval
from agc.registry import METHODS
from agc.sparsity.distributions import active_counts
from agc.sparsity.ranking import largest_weights, on_the_way, refuse_frozen
from agc.sparsity.schedules import CubicSchedule

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.gradients.gradient import LossFunction


@METHODS.register(
    "granet",
    family="dense to sparse",
    source="arXiv 2106.10404",
    needs="the dense gradient at updates",
)
class GraNet(DropAndGrow):
    """Starts half sparse; each update prunes the smallest weights of all to a cubic schedule, and
    then each layer drops its smallest weights and grows as many where the raw gradient is largest.

    As in VITA-Group/GraNet: the first masks are random, by ERK, and layers are pruned by one
    ranking; regeneration goes on, with a cosine, until the end of the training; the step of an
    update takes its optimizer step first. A weight dropped and regrown by the same update keeps
    value and momentum; one that the pruning took comes back at zero with zero momentum, as any
    other. The number dropped is rounded down as in RigL here, not up; the exact number is pruned,
    and each layer keeps its largest weight; and the cosine ends at 0, not at 0.005.

    Args:
        total_steps: optimizer steps of the whole training.
        initial_sparsity: at the start; 0 is the paper's dense-to-sparse variant. Cut to the
            sparsity wanted.
        distribution: of the pruning; other than ``global``, layers start and end by it.
        update_interval: steps between updates; fewer if pruning could not reach its end otherwise.
        prune_start_fraction: pruning starts at this fraction of the training.
        prune_end_fraction: it ends at this fraction, with the exact sparsity.

    Raises:
        InfeasibleSparsityError: so much is frozen that the sparsity cannot be reached.
        ValueError: the end of pruning is not after its start.
    """

    grows_by_gradient = True

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        total_steps: int,
        sparsity: float,
        initial_sparsity: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        distribution: Distribution = "global",
        drop_fraction: Fraction = 0.5,
        update_interval: Interval = 100,
        end_fraction: Fraction = 1.0,
        prune_start_fraction: Start = 0.0,
        prune_end_fraction: End = 0.5,
        **options: Any,
    ) -> None:
        self.initial_sparsity = min(initial_sparsity, sparsity)
        self.pruning = CubicSchedule(
            prune_start_fraction, prune_end_fraction, total_steps, update_interval
        )
        super().__init__(
            model,
            optimizer,
            total_steps=total_steps,
            sparsity=sparsity,
            distribution=distribution,
            drop_fraction=drop_fraction,
            update_interval=self.pruning.interval,
            end_fraction=end_fraction,
            **options,
        )
        self.refuse_frozen()

    def begin(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Look once more which layers are frozen."""
        self.refuse_frozen()

    def refuse_frozen(self) -> None:
        """Make sure that the layers that train can be pruned enough."""
        refuse_frozen(self.parameters, self.masks, self.sparsity_wanted, self.distribution)

    def initial_masks(self, counts: dict[str, int]) -> dict[str, Tensor]:
        """Random masks at the initial sparsity."""
        if self.distribution == "global":
            shapes = {name: tuple(p.shape) for name, p in self.parameters.items()}
            return super().initial_masks(active_counts(shapes, self.initial_sparsity, "erk"))
        sizes = {name: p.numel() for name, p in self.parameters.items()}
        share = self._pruned(0)
        return super().initial_masks({n: on_the_way(sizes[n], counts[n], share) for n in counts})

    def update_due(self, step: int) -> bool:
        """Whether ``step`` (1-based) ends with a pruning, a regeneration or both."""
        return self.pruning.due(step) or super().update_due(step)

    def observe(self, loss: Tensor | None = None) -> None:
        """Keep the raw gradient if this step ends with a regeneration."""
        if self.regenerates(self.steps + 1):
            super().observe(loss)

    def regenerates(self, step: int) -> bool:
        """Whether ``step`` ends with a regeneration, one that was put off included."""
        return any(DropAndGrow.update_due(self, due) for due in self.served(step))

    def check_gradients(self) -> None:
        """Make sure that a regeneration has a gradient, which is finite."""
        if self.regenerates(self.steps):
            super().check_gradients()

    def update_topology(self) -> None:
        """Prune, then regenerate."""
        if any(self.pruning.due(step) for step in self.served(self.steps)):
            wanted = self.sparsity_wanted, self.distribution, self._pruned(self.steps)
            self.set_masks(largest_weights(self.parameters, self.masks, *wanted))
        if self.regenerates(self.steps):
            super().update_topology()

    def grow_scores(self, name: str) -> Tensor:
        """Magnitude of the gradient, pruned weights included."""
        return self.gradients[name].abs()

    def _pruned(self, step: int) -> float:
        """Share of all that is to be pruned that is pruned after ``step``."""
        sparsity = self.pruning.sparsity(step, self.initial_sparsity, self.sparsity_wanted)
        return sparsity / self.sparsity_wanted if self.sparsity_wanted else 1.0
