from __future__ import annotations

import random
from contextlib import suppress
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agc import rng

KEYS = st.tuples(
    st.integers(0, 2**40),
    st.text(alphabet="ab/01", max_size=6),
    st.integers(0, 1000),
    st.integers(0, 10**6),
)


def test_derived_seeds_never_change() -> None:
    # Pinned: another value here would change every result that was ever written.
    assert rng.derive(0, "train/order") == 5338021676251123182
    assert rng.derive(3, "method/mask", epoch=2, step=1) == 495473815997489000


@given(KEYS, KEYS)
def test_each_of_the_four_arguments_matters(one: tuple, other: tuple) -> None:
    assert (rng.derive(*one) == rng.derive(*other)) == (one == other)


@given(KEYS)
def test_derived_seeds_are_what_torch_takes(key: tuple) -> None:
    assert 0 <= rng.derive(*key) < 2**63
    assert rng.generator(*key).initial_seed() == rng.derive(*key)


def test_a_generator_neither_reads_nor_moves_the_global_stream() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = torch.rand(5, generator=rng.generator(0, "test"))
    torch.manual_seed(2)
    second = torch.rand(5, generator=rng.generator(0, "test"))
    assert torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("fails", [False, True])
def test_isolated_code_draws_from_its_seed_and_leaves_no_trace(fails: bool) -> None:
    drawn = []
    for outside in (1, 2):
        torch.manual_seed(outside)
        before = torch.get_rng_state()
        try:
            with rng.isolated(7):
                drawn.append(torch.rand(4))
                if fails:
                    raise KeyError
        except KeyError:
            pass
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*drawn)


def test_preserved_code_draws_on_and_leaves_no_trace() -> None:
    torch.manual_seed(1)
    with rng.preserved():
        inside = torch.rand(4)
    assert torch.equal(torch.rand(4), inside)


def test_all_global_streams_may_be_drawn_from_in_isolation() -> None:
    drawn = []
    for outside in (1, 2):
        random.seed(outside), np.random.seed(outside)
        before = random.getstate(), np.random.get_state()[1].tolist()
        with suppress(KeyError), rng.isolated_everywhere(2**62 + 7):
            drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))
            raise KeyError
        assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    assert drawn[0] == drawn[1]
    with rng.isolated_everywhere(8):
        assert drawn[0] != (random.random(), np.random.rand(), torch.rand(1).item())


class Transform:
    """Holds what transforms hold."""

    def __init__(self) -> None:
        self.own = random.Random(1)
        self.older = np.random.RandomState(1)
        self.self = self


class Held:
    """A loader, nested as loaders are."""

    def __init__(self) -> None:
        self.newer = np.random.default_rng(1)
        self.dataset = SimpleNamespace(transforms=[partial(int, base=2), {"first": Transform()}])
        self.sampler = (torch.Generator().manual_seed(1),)
        self.system = random.SystemRandom()
        self.data = [torch.Generator() for _ in range(rng.LONGEST + 1)]

    def draw(self) -> list[float]:
        transform = self.dataset.transforms[1]["first"]
        return [
            *(random.random(), np.random.normal(), torch.rand(()).item()),
            *(self.newer.random(), transform.own.random(), transform.older.normal()),
            torch.rand((), generator=self.sampler[0]).item(),
        ]


@pytest.mark.parametrize("fails", [False, True])
def test_all_generators_of_a_loader_and_all_global_ones_are_preserved(fails: bool) -> None:
    held = Held()
    inside: list[float] = []
    try:
        with rng.preserved(held):
            inside = held.draw()
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert held.draw() == inside
    assert held.draw() != inside


def test_isolated_code_draws_from_a_loader_s_own_generators_by_its_seed() -> None:
    held, drawn = Held(), []
    for purpose in ("one", "other", "one"):
        with rng.isolated(rng.derive(0, purpose), held):
            drawn.append(torch.rand((), generator=held.sampler[0]).item())
    assert drawn[0] != drawn[1]
    assert drawn[0] == drawn[2]


def test_states_of_the_global_generators_are_put_back() -> None:
    kept, held = rng.streams(), Held()
    first = held.draw()[:3]
    rng.restore(kept)
    assert held.draw()[:3] == first
