"""Bounds of norms against the norms of whole matrices."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from agc import rng
from agc.architectures.shared.contraction import POINTS, convolution_norm, matrix_norm


def matrix_of(kernel: Tensor, side: int) -> Tensor:
    """The convolution with zero padding on images of this side, as a matrix."""
    places = kernel.shape[1] * side * side
    basis = torch.eye(places, dtype=kernel.dtype).reshape(places, -1, side, side)
    return nn.functional.conv2d(basis, kernel, padding=kernel.shape[-1] // 2).flatten(1).mT


def kernels(size: int) -> list[Tensor]:
    generator = rng.generator(size, "kernels")
    shapes = [(3, 3), (1, 4), (4, 2)]
    return [torch.randn(*s, size, size, generator=generator, dtype=torch.float64) for s in shapes]


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("side", [2, 5, 10])
def test_no_image_is_stretched_by_more_than_the_bound(size: int, side: int) -> None:
    for kernel in kernels(size):
        norm = torch.linalg.matrix_norm(matrix_of(kernel, side), ord=2)
        assert norm <= convolution_norm(kernel) * (1 + 1e-12)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_the_bound_is_no_larger_than_it_is_said_to_be(size: int) -> None:
    for kernel in kernels(size):
        fine = torch.fft.fft2(kernel, s=(64, 64)).permute(2, 3, 0, 1)
        largest = torch.linalg.matrix_norm(fine, ord=2).max()
        slack = math.cos(math.pi * (size // 2) / POINTS) ** -2
        assert largest <= convolution_norm(kernel) <= slack * largest * (1 + 1e-12)


def test_the_bound_of_a_kernel_without_neighbours_is_its_norm() -> None:
    (kernel, *_) = kernels(1)
    norm = torch.linalg.matrix_norm(kernel.flatten(1), ord=2)
    assert convolution_norm(kernel) == pytest.approx(norm.item(), rel=1e-12)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_ends_no_program(wrong: float) -> None:
    weight = torch.eye(3)
    weight[0, 0] = wrong
    assert matrix_norm(weight) == 1
    kernel = torch.zeros(2, 2, 3, 3)
    kernel[0, 0, 1, 1], kernel[1, 1, 1, 1] = wrong, 1.0
    assert torch.isfinite(convolution_norm(kernel))
