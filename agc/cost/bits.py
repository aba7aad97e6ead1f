"""FLOPs weighted with the bits of what is multiplied.

A product of numbers of a and b bits costs a b / 32² of one in float32 (FracTrain, arXiv 2012.13113,
section 4.1). A pass forward multiplies activations and weights, one back to the inputs errors and
weights, one back to the weights activations and errors.
"""

from __future__ import annotations

from typing import NamedTuple

FULL = 32 * 32


class Products(NamedTuple):
    """What the products of a layer cost, as shares of float32's.

    Attributes:
        forward: activations times weights.
        errors: errors times weights, in training.
        gradients: activations times errors.
        attack: gradients of an attack, which are not rounded, times weights.
    """

    forward: float
    errors: float
    gradients: float
    attack: float


FLOAT_PRODUCTS = Products(1.0, 1.0, 1.0, 1.0)


def products_of(activations: float, weights: float, errors: float) -> Products:
    """Of numbers with so many bits."""
    return Products(
        activations * weights / FULL,
        errors * weights / FULL,
        activations * errors / FULL,
        32 * weights / FULL,
    )
