"""Flying Bird: dynamic sparse training against robust overfitting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from agc.methods.shared.annealed import Annealed
from agc.methods.shared.drop_and_grow import Interval
from agc.registry import METHODS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer


@METHODS.register(
    "flying-bird",
    family="sparse to sparse",
    source="arXiv 2202.09844",
    needs="nothing; the dense gradient at updates if growth is gradient",
)
class FlyingBird(Annealed):
    """Drops the smallest weights and grows others until the end, less often in the second half.

    From VITA-Group/Sparsity-Win-Robust-Generalization, whose scripts run it under PGD adversarial
    training: half of the weights go at the first update, growth is random by default, updates
    are 900 steps apart and 1,200 in the second half. The optimizer steps first; a weight that is
    dropped and grown again keeps its value and momentum, other grown weights start at zero with
    zero momentum; growth by gradient reads the raw gradient of that step's minibatch.

    Departures: random growth is exact, not by a probability for each place; layers start with
    this suite's distributions, as the official one (IGQ) is not among them.

    Args:
        growth: ``random``, the official default, or ``gradient``.
        update_interval: steps between updates in the first half of the training.
        late_interval: in the second half. A training that is shorter than both never updates.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        growth: Literal["random", "gradient"] = "random",
        update_interval: Interval = 900,
        late_interval: Interval | None = 1200,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, update_interval=update_interval, **options)
        self.late_interval = late_interval or update_interval
        self.grows_by_gradient = growth == "gradient"

    def update_due(self, step: int) -> bool:
        """Whether ``step`` (1-based) ends with an update."""
        late = 2 * step > self.total_steps
        interval = self.late_interval if late else self.update_interval
        return step % interval == 0 and step < self.end_step

    def grow_scores(self, name: str) -> Tensor:
        """A random order, or the magnitude of the gradient."""
        if self.grows_by_gradient:
            return self.gradients[name].abs()
        return self.random_scores(name)
