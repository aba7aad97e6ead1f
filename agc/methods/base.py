"""What a sparse-training method is: the owner of the masks.

A method is told after each backward pass (``observe``) and after each optimizer step (``step``).
A new one subclasses :class:`SparseMethod`, or :class:`DropAndGrow` if it replaces weights while
it trains, and says only what is its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from agc import rng
from agc.lazy import torch
from agc.passes.replicas import unwrapped
from agc.sparsity.distributions import active_counts
from agc.sparsity.masks import apply_masks, prunable_parameters, random_mask
from agc.sparsity.schedules import SCHEDULES
from agc.sparsity.update import drop_and_grow

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

Distribution = Literal["erk", "er", "uniform"]
Schedule = Literal["cosine", "linear", "constant"]
Fraction = Annotated[float, Field(gt=0, le=1)]
Interval = Annotated[int, Field(ge=1)]


class SparseMethod:
    """Exact random masks, kept on the weights and on the optimizer's state.

    Args:
        model: its convolution and linear weights are masked, at once. It may be wrapped in
            DistributedDataParallel.
        optimizer: its per-weight tensors (momentum) are masked with the weights.
        sparsity: fraction of zeros among the prunable weights, in [0, 1).
        distribution: how the sparsity is spread over layers.
        seed: every random choice of the method derives from it.

    Raises:
        InfeasibleSparsityError: a layer would keep no weight.
    """

    sparse: ClassVar[bool] = True
    """Whether cells of this method have a sparsity; ``dense`` has none."""

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        sparsity: float,
        distribution: Distribution = "erk",
        seed: int = 0,
    ) -> None:
        self.optimizer = optimizer
        self.seed = seed
        self.steps = 0
        self.dense_gradients = 0
        """Number of steps whose gradient was needed at pruned weights too (a cost)."""
        self.parameters = prunable_parameters(unwrapped(model))
        shapes = {name: tuple(p.shape) for name, p in self.parameters.items()}
        self.masks = self.initial_masks(active_counts(shapes, sparsity, distribution))
        self.explored = {name: mask.clone() for name, mask in self.masks.items()}
        apply_masks(self.parameters, self.masks, optimizer)

    def initial_masks(self, counts: dict[str, int]) -> dict[str, Tensor]:
        """Boolean masks with ``counts[name]`` ones each; random unless a method knows better."""
        generator = self.generator("mask")
        return {
            name: random_mask(p.shape, counts[name], generator).to(p.device)
            for name, p in self.parameters.items()
        }

    def observe(self) -> None:
        """Look at the raw gradient: call it after ``backward``, before any correction."""

    def update_due(self, step: int) -> bool:
        """Whether ``step`` (1-based) ends with an update of the topology."""
        return False

    def step(self) -> bool:
        """Mask weights and optimizer state: call it after ``optimizer.step``.

        Returns:
            Whether the topology has changed.
        """
        self.steps += 1
        apply_masks(self.parameters, self.masks, self.optimizer)
        return False

    def generator(self, purpose: str) -> Generator:
        """Generator on the CPU for one purpose at the present step."""
        return rng.generator(self.seed, f"method/{purpose}", step=self.steps)

    def active(self) -> dict[str, int]:
        """Number of active weights by layer, counted."""
        return {name: int(mask.sum()) for name, mask in self.masks.items()}

    def sparsity(self) -> float:
        """Fraction of zeros among the prunable weights, counted."""
        total = sum(mask.numel() for mask in self.masks.values())
        return 1.0 - sum(self.active().values()) / total

    def exploration_rate(self) -> float:
        """Fraction of the prunable weights that have ever been active (R_s of ITOP,
        arXiv 2102.02887).
        """
        total = sum(mask.numel() for mask in self.explored.values())
        return sum(int(mask.sum()) for mask in self.explored.values()) / total

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs; random choices need nothing."""
        return {
            "steps": self.steps,
            "dense_gradients": self.dense_gradients,
            "masks": self.masks,
            "explored": self.explored,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self.steps = state["steps"]
        self.dense_gradients = state["dense_gradients"]
        for mine, theirs in ((self.masks, state["masks"]), (self.explored, state["explored"])):
            for name, mask in mine.items():
                mask.copy_(theirs[name])


class DropAndGrow(SparseMethod):
    """Sparse-to-sparse training: every ``update_interval`` steps, each layer replaces a fraction
    of its active weights.

    A subclass gives :meth:`grow_scores`; by default the smallest weights are dropped. Grown
    weights start at zero with zero momentum; a weight that is dropped and grown again in one
    update keeps both, as in RigL's and ITOP's official code. The step of an update takes its
    optimizer step first.

    Args:
        drop_fraction: fraction of a layer's active weights that the first update replaces.
        drop_schedule: how this fraction falls until the last update.
        update_interval: steps between updates.
        total_steps: optimizer steps of the whole training.
        end_fraction: no update from this fraction of the training on.
    """

    grows_by_gradient: ClassVar[bool] = False

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        sparsity: float,
        total_steps: int,
        distribution: Distribution = "erk",
        drop_fraction: Fraction = 0.3,
        drop_schedule: Schedule = "cosine",
        update_interval: Interval = 100,
        end_fraction: Fraction = 0.75,
        seed: int = 0,
    ) -> None:
        super().__init__(model, optimizer, sparsity=sparsity, distribution=distribution, seed=seed)
        self.drop_fraction = drop_fraction
        self.drop_schedule = SCHEDULES[drop_schedule]
        self.update_interval = update_interval
        self.end_step = int(end_fraction * total_steps)
        self.gradients: dict[str, Tensor] = {}
        """Raw gradients of the prunable weights, kept for the step of an update only."""

    def update_due(self, step: int) -> bool:
        """Whether ``step`` (1-based) ends with an update."""
        return step % self.update_interval == 0 and step < self.end_step

    def observe(self) -> None:
        """Keep the raw gradient if this step ends with an update that grows by it."""
        if self.grows_by_gradient and self.update_due(self.steps + 1):
            self.gradients = {
                name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
                for name, p in self.parameters.items()
            }
            self.dense_gradients += 1

    def step(self) -> bool:
        """Mask, and update the topology when due."""
        super().step()
        if not self.update_due(self.steps):
            return False
        with torch.no_grad():
            self.update_topology()
        self.gradients = {}
        apply_masks(self.parameters, self.masks, self.optimizer)
        return True

    def update_topology(self) -> None:
        """Drop and grow in each layer that trains; each keeps its number of active weights."""
        fraction = self.drop_schedule(self.drop_fraction, self.steps / self.end_step)
        for name, mask in self.masks.items():
            if not self.parameters[name].requires_grad:
                continue
            count = int(fraction * int(mask.sum()))
            drop, grow = self.drop_scores(name), self.grow_scores(name)
            mask.copy_(drop_and_grow(mask, drop, grow, count))
            self.explored[name] |= mask

    def drop_scores(self, name: str) -> Tensor:
        """Score of each weight of a layer; the lowest active ones are dropped."""
        return self.parameters[name].abs()

    def grow_scores(self, name: str) -> Tensor:
        """Score of each weight of a layer; the highest inactive ones are grown."""
        raise NotImplementedError
