"""What a product of two numbers costs by their bits, as a share of float32's.

A product of numbers of a and b bits costs a b / 32² of one in float32 (FracTrain, arXiv 2012.13113,
section 4.1).
"""

from __future__ import annotations

from typing import NamedTuple

FULL = 32 * 32


class Products(NamedTuple):
    """What the products of a layer cost, as shares of float32's.

    Attributes:
        forward: activations times weights.
        attack: gradients of an attack, which are not rounded, times weights.
        errors: errors times weights, in training.
        gradients: activations times errors.
    """

    forward: float
    attack: float
    errors: float
    gradients: float


FLOAT_PRODUCTS = Products(1.0, 1.0, 1.0, 1.0)


def products_of(activations: float, weights: float, errors: float) -> Products:
    """Of numbers with so many bits."""
    pairs = ((activations, weights), (32, weights), (errors, weights), (activations, errors))
    return Products(*(one * other / FULL for one, other in pairs))
