"""Any two entries of two axes work together, or say before anything runs why they do not."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from tests.support.pairs import Names, covering, entries, reason, step


def failures(cells: list[Names]) -> list[str]:
    found = []
    for names in cells:
        try:
            step(names)
        except Exception as error:
            found.append(f"{names}: {type(error).__name__}: {error}")
    return found


def test_every_two_entries_that_are_not_refused_make_a_step_together() -> None:
    known = entries()
    cells = covering(known)
    together = {
        pair for names in cells for pair in combinations([(axis, names[axis]) for axis in known], 2)
    }
    for axis, other in combinations(known, 2):
        for one, two in product(known[axis], known[other]):
            refused = reason({axis: one, other: two})
            assert (((axis, one), (other, two)) in together) == (refused is None), refused
    assert not failures(cells)


@pytest.mark.slow
def test_every_network_of_ours_makes_a_step_with_every_other_entry() -> None:
    assert not failures(covering(entries(everything=True)))


@pytest.mark.slow
def test_every_method_correction_and_objective_make_a_step_together() -> None:
    known = entries()
    axes = ("objective", "method", "correction")
    cells = [
        dict(zip(axes, names, strict=True)) for names in product(*(known[axis] for axis in axes))
    ]
    assert not failures([names for names in cells if reason(names) is None])
