from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from agc.gradients import lists

SHAPES = ((3, 5), (2, 3, 3, 3), (7,), (1,))


def drawn(dtype: torch.dtype = torch.float32, seed: int = 0) -> list[Tensor]:
    """Tensors of several shapes, one of them in the other memory format."""
    generator = torch.Generator().manual_seed(seed)
    found = [torch.randn(shape, generator=generator).to(dtype) for shape in SHAPES]
    found[1] = found[1].contiguous(memory_format=torch.channels_last)
    return found


def same(ones: list[Tensor], others: list[Tensor]) -> bool:
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(ones, others, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64], ids=str)
def test_lists_have_the_bits_of_loops(dtype: torch.dtype) -> None:
    a, b = drawn(dtype), drawn(dtype, 1)
    assert same(lists.clones(a), a)
    assert [t.stride() for t in lists.clones(a)] == [t.stride() for t in a]
    assert same(lists.subtract(a, b), [x - y for x, y in zip(a, b, strict=True)])
    factors: list[float | Tensor] = [0.3, 0.1, 1.0, 7.0]
    tensors = [torch.tensor(f, dtype=torch.float64) for f in factors]
    wanted = [x * f for x, f in zip(a, factors, strict=True)]
    assert same(lists.scale(a, factors), wanted)
    assert same(lists.scale(a, tensors), [x * f for x, f in zip(a, tensors, strict=True)])
    assert same(lists.scale(a, [tensors[0]] * 4), [x * tensors[0] for x in a])
    targets, loop = lists.clones(a), lists.clones(a)
    lists.add_to(targets, b, alpha=0.7)
    for target, change in zip(loop, b, strict=True):
        target.add_(change, alpha=0.7)
    assert same(targets, loop)
    lists.copy_to(targets, a)
    assert same(targets, a)


def test_sums_and_norms_have_the_bits_of_loops() -> None:
    a = drawn()
    assert torch.equal(lists.sums(a), torch.stack([x.sum(dtype=torch.float64) for x in a]))
    assert torch.equal(lists.norms(a), torch.stack([torch.linalg.vector_norm(x) for x in a]))
    assert lists.squared_norm(a) == sum(x.square().sum() for x in a)
    assert lists.squared_norm([]) == 0


def test_several_types_are_copied_and_no_tensors_are_no_fault() -> None:
    targets = [torch.zeros(3), torch.zeros(2, dtype=torch.int64), torch.zeros(3)]
    sources = [torch.ones(3), torch.tensor([4, 5]), torch.full((3,), 2, dtype=torch.float16)]
    lists.copy_to(targets, sources)
    assert [t.tolist() for t in targets] == [[1, 1, 1], [4, 5], [2, 2, 2]]
    lists.copy_to([], [])
    lists.add_to([], [])
    assert lists.clones([]) == lists.subtract([], []) == lists.scale([], []) == []


@pytest.mark.parametrize(
    "calculated",
    [
        lambda sparse, dense: lists.subtract([dense], [sparse])[0],
        lambda sparse, dense: dense + lists.scale([sparse], [-1.0])[0],
        lambda sparse, dense: dense + lists.clones([sparse])[0].neg(),
        lambda sparse, dense: _added(dense, sparse),
    ],
)
def test_sparse_gradients_are_taken_one_by_one(
    calculated: Callable[[Tensor, Tensor], Tensor],
) -> None:
    dense = torch.arange(4.0).reshape(2, 2)
    sparse = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    assert torch.equal(calculated(sparse.to_sparse(), dense), dense - sparse)


def _added(dense: Tensor, sparse: Tensor) -> Tensor:
    targets = [dense.clone()]
    lists.add_to(targets, [sparse], alpha=-1.0)
    return targets[0]


def test_factors_are_spread_over_tensors_of_any_memory_format() -> None:
    """What an accelerator takes in place of one product for each tensor."""
    a = drawn()
    a.append(torch.randn(4, 6)[:, ::2])
    factors = [torch.tensor(f, dtype=torch.float64) for f in (0.3, -1.5, 2.0, 7.0, 0.1)]
    spread = lists._spread(a, factors)
    assert [t.shape for t in spread] == [t.shape for t in a]
    assert [t.stride() for t in spread[:4]] == [t.stride() for t in a[:4]]
    wanted = [x * f for x, f in zip(a, factors, strict=True)]
    assert same([x * f for x, f in zip(a, spread, strict=True)], wanted)
    assert same(lists._spread(a, [factors[0], 2.0, *factors[2:]])[1:2], [torch.full_like(a[1], 2)])
