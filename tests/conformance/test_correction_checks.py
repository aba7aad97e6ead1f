"""The checks of corrections find what they are for: each broken one fails the check it should."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import pytest
import torch

from agc.conformance.corrections import CHECKS
from agc.corrections.base import Correction
from agc.corrections.constant import Constant
from agc.corrections.storm import STORM
from agc.cost.units import Cost
from agc.registry import CORRECTIONS
from tests.support.conformance import registered


class Traces(Constant):
    """Leaves running statistics where its pass has moved them."""

    keeps_buffers = False


class Idle(Correction):
    """Corrects nothing."""


class Draws(Constant):
    """Draws from the global stream."""

    def correct(self, batch: Any, loss_fn: Any) -> None:
        torch.rand(())
        super().correct(batch, loss_fn)


class Moves(Correction):
    """Moves the weights when it should edit gradients."""

    off = None

    def correct(self, batch: Any, loss_fn: Any) -> None:
        with torch.no_grad():
            for parameter in self.parameters.values():
                parameter.add_(0.01)


class Forgetful(STORM):
    """Does not keep the step before."""

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "mean": {}, "reference": None}


class Copies(Constant):
    """Copies the network for its older point."""

    def move_reference(self) -> None:
        copy.deepcopy(self.model)
        super().move_reference()


class Hooks(Constant):
    """Registers a hook of its own."""

    def __init__(self, model: torch.nn.Module, *, c: float = 0.1) -> None:
        super().__init__(model, c=c)
        self.model.register_forward_pre_hook(lambda *_: None)


class Stays(Constant):
    """Goes on to notice the model's calls."""

    models: ClassVar[list[Any]] = []

    def close(self) -> None:
        self.models.append(self)


class Cheap(Constant):
    """Says that it costs nothing."""

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        return Cost()


class Negative(Constant):
    """Says that it costs less than nothing."""

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        return Cost(step=-1)


class Infinite(Constant):
    """Reports what is no number."""

    def diagnostics(self) -> dict[str, float]:
        return {"coefficient": float("nan")}


BROKEN = [
    (Traces, "switched_off_a_run_of_the_suite_has_the_bits_of_a_plain_one"),
    (Traces, "switched_off_a_loop_of_ones_own_has_the_bits_of_a_plain_one"),
    (Traces, "only_weights_and_gradients_are_ever_touched"),
    (Idle, "switched_on_it_changes_the_weights"),
    (Draws, "only_weights_and_gradients_are_ever_touched"),
    (Draws, "global_streams_do_not_move_and_what_is_pruned_is_zero_after_each_step"),
    (Moves, "only_weights_and_gradients_are_ever_touched"),
    (Forgetful, "a_run_resumed_from_its_checkpoint_goes_on_with_the_same_bits"),
    (Forgetful, "a_state_taken_within_an_epoch_goes_on_with_the_same_bits"),
    (Copies, "a_network_that_cannot_be_copied_is_trained_all_the_same"),
    (Traces, "what_forward_passes_assign_is_of_the_training_passes_alone"),
    (Hooks, "it_leaves_nothing_on_the_model"),
    (Stays, "it_leaves_nothing_on_the_model"),
    (Cheap, "counted_units_are_the_declared_ones"),
    (Negative, "declared_costs_are_finite_and_not_negative"),
    (Infinite, "it_trains_with_every_method_and_precision"),
]


@pytest.mark.parametrize(("broken", "check"), BROKEN, ids=lambda x: getattr(x, "__name__", x))
def test_a_broken_correction_fails_its_check(broken: type[Correction], check: str) -> None:
    with registered(CORRECTIONS, broken) as name, pytest.raises(AssertionError):
        CHECKS[check](name)
