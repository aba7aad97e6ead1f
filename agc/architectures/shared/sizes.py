"""Which images a network takes, found by trying sizes without numbers."""

from __future__ import annotations

from collections.abc import Callable

STEP = 8
"""Sizes that are tried are multiples of it."""

LARGEST = 64
"""How far above the images at hand the search goes, if the network's own size is below."""


def next_size(takes: Callable[[int], bool], size: int, native: int) -> int | None:
    """The smallest height and width above ``size`` that a network takes, in steps of 8.

    The network's own size is tried too, whatever it is.

    Args:
        takes: tries one.
        size: that it does not take.
        native: what the network was made for. If it does not take that, no other is tried: the
            fault is not in the size.

    Returns:
        The size, or None if there is none up to the native one, or a little above ``size``.
    """
    if native == size or not takes(native):
        return None
    last = max(native, size + LARGEST)
    above = {*range(size - size % STEP + STEP, last + 1, STEP)} | {native}
    return next((n for n in sorted(above) if n > size and (n == native or takes(n))), None)
