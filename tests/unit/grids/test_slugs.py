"""No cell of the committed grids changes its name: finished cells are found by it."""

from __future__ import annotations

import hashlib

import pytest

from agc.grids.grid import load_grid

# Number of cells, and the beginning of the SHA-256 of their slugs, sorted, a line each. Another
# one here means that finished cells are not found again: only a change of the grid, or of what a
# cell computes, is a reason.
SLUGS = {
    "bsr": (84, "47d6b01b0a1c9249"),
    "corrections": (555, "8c5ef65fe2272484"),
    "digits": (84, "b915e77e54d5fcf6"),
    "fashion": (57, "99f6be30213e10ed"),
    "fashion-gpu": (87, "4018d9fdd33aa9d5"),
    "methods": (417, "a1fb5259bd7f8df9"),
    "paper-bsr": (432, "ff5650e21cbebfb7"),
    "paper-imagenet": (7, "cfa00ea653bef5fe"),
    "paper-itop": (306, "74234602ff498a1f"),
    "paper-rigl": (153, "3dd6849b8444f8a2"),
}


@pytest.mark.parametrize("name", SLUGS)
def test_the_slugs_of_a_committed_grid_stay(name: str) -> None:
    slugs = sorted(cell.slug for cell in load_grid(name).cells)
    digest = hashlib.sha256("\n".join(slugs).encode()).hexdigest()
    assert (len(slugs), digest[:16]) == SLUGS[name]
