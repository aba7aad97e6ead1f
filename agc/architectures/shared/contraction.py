"""Norms of linear maps, by which a cell is kept a contraction."""

from __future__ import annotations

import math

import torch
from torch import Tensor

POINTS = 8
"""Frequencies a side at which the transform of a kernel is looked at."""


def matrix_norm(weight: Tensor) -> Tensor:
    """Largest singular value of a matrix, a scalar; what is not finite counts as 0, as there is no
    such value then.
    """
    return torch.linalg.matrix_norm(torch.nan_to_num(weight, 0.0, 0.0, 0.0), ord=2)


def convolution_norm(kernel: Tensor) -> Tensor:
    """Upper bound of the norm of a convolution of stride 1, for images of any size, a scalar.

    Between images padded with zeros a convolution is a part of the one on the whole grid, whose
    norm is the largest singular value of the kernel's Fourier transform over all frequencies
    (Sedghi et al., arXiv 1805.10408). Each entry of that is a trigonometric polynomial of degree
    d = (k - 1) / 2 in each of the two directions, which is nowhere larger than 1 / cos(pi d / n) a
    direction times its largest value at n equally spaced frequencies (Ehlich and Zeller, 1964), and
    so is its product with two fixed vectors, hence the singular value.

    Args:
        kernel: [out, in, k, k] with k odd and below 8.
    """
    finite = torch.nan_to_num(kernel, 0.0, 0.0, 0.0)
    transform = torch.fft.rfft2(finite, s=(POINTS, POINTS)).permute(2, 3, 0, 1)
    degree = (kernel.shape[-1] - 1) // 2
    between = math.cos(math.pi * degree / POINTS) ** 2
    return torch.linalg.matrix_norm(transform, ord=2).max() / between
