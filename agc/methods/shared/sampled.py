"""Pruning before training by gradients: what methods share that score the weights on batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc import rng
from agc.errors import UserError
from agc.gradients.gradient import preserved_buffers
from agc.methods.shared.ranked import RankedMethod

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.gradients.gradient import LossFunction


class SampledMethod(RankedMethod):
    """Scores read the objective's own loss on the first batches of a pass, a new pass at each
    iteration, in the mode that the model is in. Buffers and random streams come back as they were.

    A subclass gives :meth:`sample_scores`.

    Args:
        batches: how many.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        batches: Annotated[int, Field(ge=1)] = 1,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, **options)
        self.batches = batches

    def scores(self, batches: Iterable[Any], loss_fn: LossFunction) -> dict[str, Tensor]:
        """Of the first batches.

        Raises:
            UserError: there are not that many.
        """
        kept = preserved_buffers(self.model), trainable(self.parameters.values())
        with rng.preserved(batches), kept[0], kept[1]:
            sample = list(islice(batches, self.batches))
            if len(sample) < self.batches:
                raise UserError(
                    f"option batches = {self.batches}: there are only {len(sample)} in an epoch"
                )
            return self.sample_scores(sample, loss_fn)

    def sample_scores(self, sample: list[Any], loss_fn: LossFunction) -> dict[str, Tensor]:
        """Score of each prunable weight on these batches; high ones are kept."""
        raise NotImplementedError


@contextmanager
def trainable(parameters: Iterable[Any]) -> Iterator[None]:
    """Give gradients to frozen weights too: they are pruned before the training as all others."""
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
