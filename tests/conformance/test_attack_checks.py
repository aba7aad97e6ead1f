"""The checks of attacks find what they are for: each broken one fails the check it should."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor

from agc.attacks.base import Attack, OwnPGD
from agc.conformance.attacks import CHECKS
from agc.conformance.checks import DoesNotApply
from agc.registry import ATTACKS
from tests.support.conformance import registered


class Leaves(Attack):
    """Leaves the ball."""

    def craft(self, model: Any, images: Tensor, labels: Tensor, threat: Any) -> Tensor:
        return 1 - images


class Idle(Attack):
    """Attacks nothing."""

    def craft(self, model: Any, images: Tensor, labels: Tensor, threat: Any) -> Tensor:
        return images


class Fewer(Attack):
    """Gives back a part of the batch."""

    def craft(self, model: Any, images: Tensor, labels: Tensor, threat: Any) -> Tensor:
        return images[:1]


class Counts(OwnPGD):
    """Does something in every other run alone."""

    runs = 0

    def craft(self, model: Any, images: Tensor, labels: Tensor, threat: Any) -> Tensor:
        Counts.runs += 1
        return super().craft(model, images, labels, threat) if Counts.runs % 2 else images


class Overwrites(OwnPGD):
    """Writes into the images that it was given."""

    def craft(self, model: Any, images: Tensor, labels: Tensor, threat: Any) -> Tensor:
        crafted = super().craft(model, images, labels, threat)
        images.copy_(crafted)
        return crafted


class Lacks(Attack):
    """Needs a library that nobody has."""

    library = "no_such_library"
    extra = "attacks"


BROKEN = [
    (Leaves, "what_it_crafts_are_images_in_the_ball"),
    (Fewer, "what_it_crafts_are_images_in_the_ball"),
    (Idle, "some_images_do_not_stand_it"),
    (Counts, "the_outcome_follows_from_the_seed"),
    (Overwrites, "nothing_but_the_outcome_is_left"),
]


@pytest.mark.parametrize(("broken", "check"), BROKEN, ids=lambda x: getattr(x, "__name__", x))
def test_a_broken_attack_fails_its_check(broken: type[Attack], check: str) -> None:
    with registered(ATTACKS, broken) as name, pytest.raises(AssertionError):
        CHECKS[check](name)


@pytest.mark.parametrize("check", CHECKS)
def test_an_attack_without_its_library_is_left_out(check: str) -> None:
    with (
        registered(ATTACKS, Lacks) as name,
        pytest.raises(DoesNotApply, match=r"it needs no_such_library"),
    ):
        CHECKS[check](name)
