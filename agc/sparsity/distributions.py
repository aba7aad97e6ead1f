"""How many weights each layer keeps: exact counts that sum to the target.

A distribution is a function ``(shapes, density) -> {layer: density}``; :func:`active_counts`
turns its densities into whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from agc.sparsity.masks import layer_fits

Shapes = Mapping[str, tuple[int, ...]]


class InfeasibleSparsityError(ValueError):
    """A distribution asks a layer for fewer than one or more than all of its weights."""


def uniform(shapes: Shapes, density: float) -> dict[str, float]:
    """The same density in every layer."""
    return dict.fromkeys(shapes, density)


def er(shapes: Shapes, density: float) -> dict[str, float]:
    """Erdős-Rényi (SET, arXiv 1707.04780): density proportional to (n_in + n_out) / (n_in n_out).

    A kernel's spatial size is not looked at.
    """
    return _scaled(shapes, density, lambda shape: sum(shape[:2]) / math.prod(shape[:2]))


def erk(shapes: Shapes, density: float) -> dict[str, float]:
    """Erdős-Rényi kernel (RigL, arXiv 1911.11134): density proportional to
    (n_in + n_out + k_h + k_w) / (n_in n_out k_h k_w).
    """
    return _scaled(shapes, density, lambda shape: sum(shape) / math.prod(shape))


DISTRIBUTIONS: dict[str, Callable[[Shapes, float], dict[str, float]]] = {
    "uniform": uniform,
    "er": er,
    "erk": erk,
    # Where all weights are ranked together, layers get what the ranking gives them; a random
    # ranking gives them the same density on average.
    "global": uniform,
}


def custom(shapes: Shapes, density: float, sparsities: Mapping[str, float]) -> dict[str, float]:
    """Named layers get their own sparsity; the others share what is left by ERK.

    Args:
        shapes: shape of each prunable weight, by name.
        density: of all these weights together.
        sparsities: layer name, with wildcards -> sparsity in [0, 1). The first that fits counts.

    Raises:
        InfeasibleSparsityError: the rest cannot bring the total to ``density``.
        ValueError: a name fits no layer.
    """
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    for pattern, sparsity in sparsities.items():
        if not any(layer_fits(name, pattern) for name in shapes):
            raise ValueError(
                f"distribution: no layer is called {pattern!r} (there are {[*shapes]})"
            )
        if not 0.0 <= sparsity < 1.0:
            raise InfeasibleSparsityError(f"sparsity {sparsity} of {pattern!r} is not in [0, 1)")
    named = {}
    for name in shapes:
        fits = [s for pattern, s in sparsities.items() if layer_fits(name, pattern)]
        if fits:
            named[name] = 1.0 - fits[0]
    rest = {name: shape for name, shape in shapes.items() if name not in named}
    left = density * sum(sizes.values()) - sum(named[name] * sizes[name] for name in named)
    room = sum(sizes[name] for name in rest)
    # Half a weight of each layer is what rounding may give or take.
    if not -0.5 * len(shapes) <= left <= room + 0.5 * len(shapes) or (rest and left <= 0):
        wanted = 1 - density
        reached = 1 - sum(named[n] * sizes[n] for n in named) / sum(sizes.values())
        raise InfeasibleSparsityError(
            f"the map of sparsities cannot give {wanted:g} in all: the layers it names keep "
            f"{1 - reached:.4g} of all weights and {room} weights are left to choose from"
        )
    shared = erk(rest, left / room) if rest else {}
    return {name: named[name] if name in named else shared[name] for name in shapes}


def _scaled(
    shapes: Shapes, density: float, score: Callable[[tuple[int, ...]], float]
) -> dict[str, float]:
    """Densities proportional to ``score`` that keep ``density`` of all weights.

    A layer whose share would exceed all of its weights becomes dense, and the others share
    what is left, until none exceeds.
    """
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    scores = {name: score(shape) for name, shape in shapes.items()}
    budget = density * sum(sizes.values())
    dense: set[str] = set()
    while True:
        rest = [name for name in shapes if name not in dense]
        left = budget - sum(sizes[name] for name in dense)
        weight = sum(scores[name] * sizes[name] for name in rest)
        scale = left / weight if rest else 0.0
        over = {name for name in rest if scale * scores[name] > 1.0}
        if not over:
            return {name: 1.0 if name in dense else scale * scores[name] for name in shapes}
        dense |= over


def active_counts(
    shapes: Shapes, sparsity: float, distribution: str | Mapping[str, float] = "erk"
) -> dict[str, int]:
    """Number of active weights of each layer; their sum is the target, rounded once.

    Args:
        shapes: shape of each prunable weight, output dimension first.
        sparsity: fraction of zeros over all these weights, in [0, 1).
        distribution: a key of ``DISTRIBUTIONS``, or a map for :func:`custom`.

    Raises:
        InfeasibleSparsityError: a layer would keep none, or more than all, of its weights.
    """
    if not 0.0 <= sparsity < 1.0:
        raise InfeasibleSparsityError(f"sparsity {sparsity} is not in [0, 1)")
    if isinstance(distribution, str) and distribution not in DISTRIBUTIONS:
        raise ValueError(
            f"unknown distribution {distribution!r} (known: {', '.join(DISTRIBUTIONS)})"
        )
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    target = round((1.0 - sparsity) * sum(sizes.values()))
    if isinstance(distribution, str):
        densities = DISTRIBUTIONS[distribution](shapes, 1.0 - sparsity)
    else:
        densities = custom(shapes, 1.0 - sparsity, distribution)
    wanted = {name: densities[name] * sizes[name] for name in shapes}
    counts = _round_to_sum(wanted, sizes, target)
    if distribution == "global" and target >= len(counts):
        _give_each_layer_one(counts)
    for name, count in counts.items():
        if not 1 <= count <= sizes[name]:
            raise InfeasibleSparsityError(
                f"{distribution} at sparsity {sparsity:g} gives layer {name!r} "
                f"{wanted[name]:.2f} of its {sizes[name]} weights"
            )
    return counts


def _give_each_layer_one(counts: dict[str, int]) -> None:
    """A ranking of all weights keeps the best of each layer; the largest layers pay for it."""
    for name in [name for name, count in counts.items() if count == 0]:
        counts[max(counts, key=lambda other: counts[other])] -= 1
        counts[name] = 1


def _round_to_sum(
    wanted: Mapping[str, float], sizes: Mapping[str, int], target: int
) -> dict[str, int]:
    """Round down, then give the missing weights to the largest remainders that have room."""
    counts = {name: min(sizes[name], math.floor(value + 1e-9)) for name, value in wanted.items()}
    order = sorted(wanted, key=lambda name: counts[name] - wanted[name])
    missing = target - sum(counts.values())
    while missing > 0:
        room = [name for name in order if counts[name] < sizes[name]]
        for name in room[:missing]:
            counts[name] += 1
        missing -= min(missing, len(room))
    return counts
