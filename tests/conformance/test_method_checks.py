"""The checks of methods find what they are for: each broken method here fails the one it should."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from agc.conformance.methods import CHECKS, trains_in_cells
from agc.methods.base import SparseMethod
from agc.methods.gmp import GMP
from agc.methods.rigl import RigL
from agc.methods.set import SET
from agc.registry import METHODS
from tests.support.conformance import registered


class OneTooMany(SparseMethod):
    """Keeps a weight more than it should."""

    def initial_masks(self, counts: dict[str, int]) -> dict[str, Tensor]:
        first = next(iter(counts))
        return super().initial_masks({**counts, first: counts[first] + 1})


class Unmasked(SparseMethod):
    """Forgets the optimizer's state."""

    def rest(self) -> None:
        with torch.no_grad():
            for name, mask in self.masks.items():
                self.parameters[name].mul_(mask)


class Silent(RigL):
    """Changes its masks and does not say so."""

    def advance(self) -> bool:
        super().advance()
        return False


class Replaces(RigL):
    """Puts new tensors in the place of its masks."""

    def update_topology(self) -> None:
        super().update_topology()
        self.masks = {name: mask.clone() for name, mask in self.masks.items()}


class Global(RigL):
    """Draws from the global random stream."""

    def grow_scores(self, name: str) -> Tensor:
        return torch.rand(self.parameters[name].shape)


class Forgetful(RigL):
    """Counts its updates, grows by the count, and does not save it."""

    def __init__(self, *args: Any, total_steps: int, **options: Any) -> None:
        super().__init__(*args, total_steps=total_steps, **options)
        self.count = 0

    def grow_scores(self, name: str) -> Tensor:
        self.count += 1
        return self.random_scores(name).roll(self.count)


class Thaws(RigL):
    """Updates layers that are frozen."""

    def update_topology(self) -> None:
        for name, mask in self.masks.items():
            self.replace(name, int(0.3 * int(mask.sum())))


class Hasty(SET):
    """Updates at the end of a step that the optimizer did not make."""

    def takes_update(self) -> bool:
        return self.due_at(self.steps)


class Densifies(SparseMethod):
    """Ends denser than it should."""

    def end(self, batches: Any, loss_fn: Any) -> None:
        self.set_masks({name: torch.ones_like(mask) for name, mask in self.masks.items()})


class Overlooks(GMP):
    """Does not look which layers are frozen."""

    def refuse_frozen(self) -> None:
        pass


class Shows(SparseMethod):
    """Has what is pruned back for the forward pass."""

    @contextmanager
    def shown(self, batch: Any, loss_fn: Any) -> Iterator[None]:
        with torch.no_grad():
            for parameter in self.parameters.values():
                parameter.add_(0.1)
        yield


BROKEN = {
    Overlooks: "what_is_frozen_is_pruned_or_refused_by_name",
    Shows: "sparsity_is_what_operations_see",
    OneTooMany: "sparsity_is_exact",
    Densifies: "sparsity_is_exact",
    Unmasked: "pruned_weights_are_zero",
    Silent: "a_step_without_a_change_changes_no_mask",
    Replaces: "storages_survive",
    Global: "choices_follow_from_the_seed",
    Forgetful: "a_resumed_run_has_the_same_bits",
    Hasty: "a_step_left_out_for_an_overflow_changes_nothing",
    Thaws: "frozen_layers_stay",
}


@pytest.mark.parametrize(
    ("broken", "check"), BROKEN.items(), ids=lambda x: getattr(x, "__name__", x)
)
def test_a_broken_method_fails_its_check(broken: type[SparseMethod], check: str) -> None:
    with registered(METHODS, broken) as name, pytest.raises(AssertionError):
        CHECKS[check](name)


def test_a_method_that_ends_too_dense_fails_in_a_cell() -> None:
    with (
        registered(METHODS, Densifies) as name,
        pytest.raises(AssertionError, match="sparsity"),
    ):
        trains_in_cells(name)
