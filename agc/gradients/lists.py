"""Arithmetic on many tensors at once: a GPU takes a list in one kernel where a loop has one for
each, and on small networks the host cannot launch them as fast as they run.

On a CPU the results are those of the loop, to the bit. A product and the sum that follows stay two
operations, as one that does both rounds once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from agc.gradients.euclidean import as_real
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def copy_to(targets: Iterable[Tensor], sources: Iterable[Tensor]) -> None:
    """Copy each of ``sources`` into its target, those of one type together."""
    kinds: dict[tuple[torch.dtype, torch.dtype], list[tuple[Tensor, Tensor]]] = {}
    for target, source in zip(targets, sources, strict=True):
        kinds.setdefault((target.dtype, source.dtype), []).append((target, source))
    with torch.no_grad():
        for pairs in kinds.values():
            torch._foreach_copy_(*map(list, zip(*pairs, strict=True)))


def clones(tensors: Iterable[Tensor]) -> list[Tensor]:
    """A copy of each, without a graph."""
    originals = [tensor.detach() for tensor in tensors]
    if not originals or not _is_list(originals):
        return [tensor.clone() for tensor in originals]
    copies = [torch.empty_like(tensor) for tensor in originals]
    copy_to(copies, originals)
    return copies


def subtract(ones: Sequence[Tensor], others: Sequence[Tensor]) -> list[Tensor]:
    """Each one minus its other."""
    if not ones or not _is_list([*ones, *others]):
        return [one - other for one, other in zip(ones, others, strict=True)]
    return list(torch._foreach_sub(ones, others))


def add_to(targets: Sequence[Tensor], changes: Sequence[Tensor], alpha: float = 1.0) -> None:
    """Add ``alpha`` times its change to each target, in place."""
    if targets and _is_list([*targets, *changes]):
        torch._foreach_add_(targets, changes, alpha=alpha)
        return
    for target, change in zip(targets, changes, strict=True):
        target.add_(change, alpha=alpha)


def scale(tensors: Sequence[Tensor], factors: Sequence[float | Tensor]) -> list[Tensor]:
    """Each tensor times its factor: a number, or a tensor without dimensions."""
    if not tensors or not _is_list(tensors):
        return [_times(tensor, factor) for tensor, factor in zip(tensors, factors, strict=True)]
    if not any(torch.is_tensor(factor) for factor in factors):
        return list(torch._foreach_mul(tensors, factors))
    if tensors[0].device.type == "cpu":
        return [tensor * factor for tensor, factor in zip(tensors, factors, strict=True)]
    if all(factor is factors[0] for factor in factors):
        return list(torch._foreach_mul(tensors, _like(factors[0], tensors[0])))
    return list(torch._foreach_mul(tensors, _spread(tensors, factors)))


def sums(tensors: Sequence[Tensor], signed: bool = True) -> Tensor:
    """The sum of each tensor in double precision, [tensors].

    Args:
        tensors: real ones; at least one.
        signed: whether any value may be negative.
    """
    if tensors[0].device.type == "cpu" or not _is_list(tensors):
        return stacked([tensor.sum(dtype=torch.float64) for tensor in tensors])
    # There is no sum of a list, but a norm.
    if not signed:
        return stacked(torch._foreach_norm(tensors, 1, dtype=torch.float64))
    above, below = torch._foreach_clamp_min(tensors, 0.0), torch._foreach_clamp_max(tensors, 0.0)
    return sums(above, signed=False) - sums(below, signed=False)


def norms(tensors: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm of each tensor, [tensors]; at least one."""
    if _is_list(tensors):
        return stacked(torch._foreach_norm(tensors, 2))
    return stacked([torch.linalg.vector_norm(tensor) for tensor in tensors])


def squared_norm(tensors: Sequence[Tensor]) -> Tensor | float:
    """The square of the Euclidean norm of all tensors together, real and imaginary parts alike."""
    parts = [as_real(tensor) for tensor in tensors]
    if parts and parts[0].device.type != "cpu" and _is_list(parts):
        return norms(parts).square().sum()
    return sum(part.square().sum() for part in parts)


@contextmanager
def unique_places() -> Iterator[None]:
    """Write to places of which none is named twice.

    Where algorithms must be deterministic, a GPU first sorts the places, to settle which of several
    writes to one comes last: twenty kernels for one.
    """
    strict = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=warns)


def stacked(values: Iterable[Tensor]) -> Tensor:
    """Tensors of one shape as one, on the device of the first."""
    first, *others = values
    return torch.stack([first, *(value.to(first.device) for value in others)])


def _is_list(tensors: Sequence[Tensor]) -> bool:
    """Whether they can be taken together: of one device, and none of torch's sparse layout, as
    gradients of embeddings may be.
    """
    device = tensors[0].device
    return all(t.layout is torch.strided and t.device == device for t in tensors)


def _times(tensor: Tensor, factor: float | Tensor) -> Tensor:
    return tensor * (factor.to(tensor.device) if torch.is_tensor(factor) else factor)


def _like(factor: Tensor, tensor: Tensor) -> Tensor:
    """The factor in the type that a product with ``tensor`` is computed in."""
    return factor.to(tensor.device, torch.promote_types(tensor.dtype, torch.float32))


def _spread(tensors: Sequence[Tensor], factors: Sequence[float | Tensor]) -> list[Tensor]:
    """Each factor in the shape and memory format of its tensor.

    All of them are cut from one vector, so that their number takes no further kernels.
    """
    first = tensors[0]
    double = {"dtype": torch.float64}
    values = [f if torch.is_tensor(f) else first.new_full((), f, **double) for f in factors]
    counts = tuple(tensor.numel() for tensor in tensors)
    vector = _like(stacked(values), first)
    flat = vector.repeat_interleave(_on(first.device, counts), output_size=sum(counts))
    return [
        piece.as_strided(tensor.shape, tensor.stride(), piece.storage_offset())
        if _is_dense(tensor)
        else piece.reshape(tensor.shape)
        for piece, tensor in zip(flat.split(counts), tensors, strict=True)
    ]


def _is_dense(tensor: Tensor) -> bool:
    """Whether the tensor fills its memory, in whatever order of its dimensions."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True


@cache
def _on(device: torch.device, counts: tuple[int, ...]) -> Tensor:
    """Numbers on a device; kept, as to bring them there makes the host wait."""
    return torch.tensor(counts, device=device)
