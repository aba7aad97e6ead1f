"""What a checkpoint holds of an object, by the names that its class and the bases give."""

from __future__ import annotations

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
    assert state["total"] is one.total
    other.load_state_dict(state)
    one.total += 1
    one.steps.append(8)
    one.inner.total += 1
    assert other.total.tolist() == [3, 3]
    assert other.steps == [7]
    assert other.inner is inner
    assert other.inner.total.tolist() == [1, 1]


def test_what_an_older_version_kept_besides_is_left() -> None:
    found = Derived()
    found.load_state_dict({**Derived().state_dict(), "older": 1})
    assert not hasattr(found, "older")


def test_what_is_missing_is_told() -> None:
    state = Derived().state_dict()
    del state["steps"]
    with pytest.raises(KeyError, match="steps"):
        Derived().load_state_dict(state)


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


@pytest.mark.parametrize("shape", [torch.zeros(3), torch.zeros(2, dtype=torch.bool)])
def test_a_tensor_of_another_shape_or_type_is_replaced(shape: torch.Tensor) -> None:
    target = Base()
    target.total = shape
    target.load_state_dict(Base().state_dict())
    assert target.total is not shape
    assert torch.equal(target.total, torch.zeros(2))
