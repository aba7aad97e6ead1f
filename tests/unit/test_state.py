"""What a checkpoint holds of an object, by the names that its class and the bases give."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch

from agc.state import Stateful


class Base(Stateful):
    state = ("total",)

    def __init__(self) -> None:
        self.total = torch.zeros(2)
        self.scratch = 1


class Plain(Base):
    """Adds nothing."""


class Masked(Stateful):
    state = ("masks",)

    def __init__(self, masks: dict[str, float]) -> None:
        self.masks = {name: torch.full((2,), value) for name, value in masks.items()}


class Derived(Plain):
    state = ("steps", "inner")

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[int] = []
        self.inner = Base()


def test_the_state_is_that_of_the_class_and_of_all_bases() -> None:
    assert Stateful.state_names() == []
    assert Plain().state_names() == ["total"]
    assert Derived().state_names() == ["total", "steps", "inner"]
    assert set(Derived().state_dict()) == {"total", "steps", "inner"}
    assert set(Derived().state_dict()["inner"]) == {"total"}


def test_a_state_is_restored_as_a_copy() -> None:
    one, other = Derived(), Derived()
    one.total += 3
    one.steps.append(7)
    one.inner.total += 1
    inner = other.inner
    state = one.state_dict()
    other.load_state_dict(state)
    for present in (one, other):
        assert other.total.tolist() == [3, 3]
        assert other.steps == [7]
        assert other.inner is inner
        assert other.inner.total.tolist() == [1, 1]
        present.total += 1
        present.steps.append(8)
        present.inner.total += 1
        other.load_state_dict(state)


def test_what_an_older_version_kept_besides_is_left() -> None:
    found = Derived()
    found.load_state_dict({**Derived().state_dict(), "older": 1})
    assert not hasattr(found, "older")


def test_what_is_missing_is_told() -> None:
    state = Derived().state_dict()
    del state["steps"]
    with pytest.raises(KeyError, match="steps"):
        Derived().load_state_dict(state)


def test_what_came_later_may_be_missing_and_is_checked_if_it_is_there() -> None:
    class Later(Base):
        state = later_state = ("masks",)

        def __init__(self) -> None:
            super().__init__()
            self.masks = {"a": torch.ones(2)}

    one, other = Later(), Later()
    one.total += 3
    other.load_state_dict({"total": one.total})
    assert other.total.tolist() == [3, 3]
    assert other.masks["a"].tolist() == [1, 1]
    assert not list(other.misfits({"total": one.total}))
    with pytest.raises(ValueError, match="masks"):
        other.load_state_dict({**one.state_dict(), "masks": 7})


def test_tensors_of_the_same_shape_are_filled_where_they_lie() -> None:
    one, other = Masked({"a": 1.0}), Masked({"a": 2.0})
    masks, tensor = other.masks, other.masks["a"]
    other.load_state_dict(one.state_dict())
    assert other.masks is masks
    assert other.masks["a"] is tensor
    assert tensor.tolist() == [1.0, 1.0]
    tensor.zero_()
    assert one.masks["a"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("other", [{}, {"b": 2.0}, {"a": 2.0, "b": 2.0}])
def test_tensors_of_other_names_are_replaced(other: dict[str, float]) -> None:
    one, target = Masked({"a": 1.0}), Masked(other)
    target.load_state_dict(one.state_dict())
    assert list(target.masks) == ["a"]
    assert target.masks["a"] is not one.masks["a"]
    assert torch.equal(target.masks["a"], one.masks["a"])


class Optimized(Base):
    """Keeps an optimizer, whose own ``load_state_dict`` keeps what it is given."""

    state = ("adam",)

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.ones(2, requires_grad=True)
        self.adam = torch.optim.Adam([self.weight])

    def step(self) -> list[float]:
        self.weight.grad = torch.ones(2)
        self.adam.step()
        return self.adam.state[self.weight]["exp_avg"].tolist()


def test_optimizers_within_share_no_tensor_with_a_state() -> None:
    one, other, third = Optimized(), Optimized(), Optimized()
    one.step()
    state = one.state_dict()
    expected = one.step()
    for present in (other, third):
        present.load_state_dict(state)
        assert present.step() == expected


class Named(Stateful):
    """Of a class and a size, with means by parameter, a part and a list."""

    state = ("means", "inner", "steps")
    by_parameter = ("means",)
    made_with: ClassVar[dict[str, str] | None] = {"size": "size"}

    def __init__(self, size: float = 2) -> None:
        self.size = size
        self.means = {"a": torch.zeros(2)}
        self.inner = Base()
        self.steps: list[int] = []

    def named_tensors(self) -> dict[str, torch.Tensor]:
        return {"a": torch.zeros(2), "b": torch.zeros(3, 1)}


class Other(Named):
    """Another class with the same attributes."""


MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "shape": ({"means": {"a": torch.ones(1)}}, r"means\['a'\] has shape \(1,\), .* is \(2,\)"),
    "broadcast": ({"means": {"b": torch.ones(1, 3)}}, r"shape \(1, 3\), this one's is \(3, 1\)"),
    "name": ({"means": {"c": torch.ones(2)}}, r"means\['c'\] is of nothing"),
    "kind": ({"means": torch.ones(2)}, "means is a Tensor"),
    "list": ({"steps": {"a": 1}}, "steps is a dict, this one's is a list"),
    "part": ({"inner": torch.ones(2)}, "inner is a Tensor"),
    "lack": ({"inner": {}}, "inner: it has no 'total'"),
    "class": (Other().state_dict(), "it is a state of Other"),
    "size": (Named(3).state_dict(), "a state of size 3, this one has 2"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_a_state_of_something_else_is_refused_before_anything_is_changed(case: str) -> None:
    changes, message = MISFITS[case]
    target = Named()
    state = {**target.state_dict(), "steps": [1], **changes}
    target.means["a"] += 5
    with pytest.raises(ValueError, match=message):
        target.load_state_dict(state)
    assert target.means["a"].tolist() == [5, 5]
    assert target.steps == []
    with pytest.raises(KeyError, match="inner"):
        target.load_state_dict({name: state[name] for name in ("means", "steps")})
    assert target.means["a"].tolist() == [5, 5]


@pytest.mark.parametrize(
    "state", [{"a": torch.ones(2), "b": torch.ones(3, 1)}, {}, {"a": torch.ones(2).half()}]
)
def test_what_grows_with_the_training_is_restored(state: dict[str, torch.Tensor]) -> None:
    target = Named()
    target.load_state_dict({**Named().state_dict(), "means": state})
    assert target.means.keys() == state.keys()
    assert all(torch.equal(target.means[key], state[key]) for key in state)
    older = Named().state_dict()
    del older["made"]  # as versions before wrote it
    target.load_state_dict(older)
    assert target.means["a"].tolist() == [0, 0]


@pytest.mark.parametrize("shape", [torch.zeros(3), torch.zeros(2, dtype=torch.bool)])
def test_a_tensor_of_another_shape_or_type_is_replaced(shape: torch.Tensor) -> None:
    target = Base()
    target.total = shape
    target.load_state_dict(Base().state_dict())
    assert target.total is not shape
    assert torch.equal(target.total, torch.zeros(2))
