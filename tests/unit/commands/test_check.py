"""``agc check`` on entries of every axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import agc.conformance.checks as conformance
from agc.commands.check import REGISTRIES
from agc.corrections.base import Correction
from agc.objectives.base import Objective
from agc.registry import (
    COMMUNICATION,
    CORRECTIONS,
    METHODS,
    OBJECTIVES,
    OPTIMIZERS,
    QUANTIZATIONS,
    Registry,
)
from tests.support.command_line import agc
from tests.support.conformance import registered


class Sound(Correction):
    """Leaves gradients [as they are]."""


class Wrong(Objective):
    """Not what it seems."""


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Puts other checks in the place of an axis' own; says which axes were asked for them."""

    def put(**found: Callable[[str], None]) -> list[str]:
        asked: list[str] = []

        def checks(registry: Registry, cells: bool = True) -> dict[str, Any]:
            asked.append(registry.kind)
            return found

        monkeypatch.setattr(conformance, "checks", checks)
        return asked

    return put


def fails(name: str) -> None:
    raise AssertionError(f"{name} is wrong")


def raises(name: str) -> None:
    raise KeyError


def leaves_out(name: str) -> None:
    raise conformance.DoesNotApply("there is nothing to see [here]")


@pytest.mark.parametrize("name", ["rigl", "agc", "pgd-at", "digits", "resnet8", "adamw", "fgsm"])
def test_the_axis_is_found_by_the_name(instead: Callable[..., list[str]], name: str) -> None:
    asked = instead(a_promise=lambda name: None)
    found = agc("check", name)
    assert found.code == 0
    expected = {"rigl": "method", "agc": "correction", "pgd-at": "objective", "digits": "dataset"}
    expected |= {"resnet8": "architecture", "adamw": "optimizer", "fgsm": "attack"}
    assert asked == [expected[name]]
    assert found.out.startswith(f"{asked[0]} {name}: ")
    assert "passed a promise (" in found.out
    assert "1 of 1 checks passed" in found.out


def test_a_failed_check_says_why_and_one_that_does_not_apply_counts_for_nothing(
    instead: Callable[..., list[str]],
) -> None:
    instead(a=lambda name: None, b=fails, c=raises, d=leaves_out)
    with registered(CORRECTIONS, Sound) as name:
        found = agc("check", name)
    assert found.code == 1
    assert "Leaves gradients [as they are]." in found.out
    assert f"FAILED b (0.0 s)\n  AssertionError: {name} is wrong" in found.out
    assert "FAILED c (0.0 s)\n  KeyError()" in found.out
    assert "left out d (0.0 s)\n  there is nothing to see [here]" in found.out
    assert found.out.endswith("1 of 3 checks passed, 1 left out\n")


def test_a_name_on_two_axes_needs_its_axis(instead: Callable[..., list[str]]) -> None:
    asked = instead()
    with registered(CORRECTIONS, Sound) as name:
        OBJECTIVES.register(name)(Wrong)
        try:
            message = agc("check", name).message
            assert agc("check", name, "--axis", "objective").code == 0
        finally:
            del OBJECTIVES._entries[name]
    axes = "objective, correction"
    assert message == f"{name!r} is a name on several axes ({axes}): choose by --axis"
    assert asked == ["objective"]


def test_names_that_do_not_exist_are_told_apart() -> None:
    assert agc("check", "rigll").message.startswith("unknown entry 'rigll'; did you mean 'rigl'?")
    message = agc("check", "rigl", "--axis", "correction").message
    assert message.startswith("unknown correction 'rigl'")
    assert agc("check", "rigl", "--axis", "colour").code == 2


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=list(REGISTRIES))
def test_every_axis_has_checks_and_some_train_whole_cells(registry: Registry) -> None:
    few, every = conformance.checks(registry, cells=False), conformance.checks(registry)
    assert few
    assert few.items() <= every.items()
    of_cells = (METHODS, OBJECTIVES, OPTIMIZERS, QUANTIZATIONS, COMMUNICATION)
    assert (len(every) > len(few)) is (registry in of_cells)


def test_a_real_correction_is_checked() -> None:
    found = agc("check", "none", "--axis", "correction")
    assert found.code == 0, found.out
    assert "left out switched on it changes the weights" in found.out
