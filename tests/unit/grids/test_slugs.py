"""No cell of the committed grids changes its name: finished cells are found by it."""

from __future__ import annotations

import hashlib

import pytest

from agc.grids.grid import load_grid

# Number of cells, and the beginning of the SHA-256 of their slugs, sorted, a line each. Another
# one here means that finished cells are not found again: only a change of the grid, or of what a
# cell computes, is a reason.
SLUGS = {
    "bsr": (108, "ef9f808158eb710b"),
    "corrections": (600, "1d3efdbc42b47300"),
    "digits": (160, "232ebf1311f8fcb3"),
    "fashion": (72, "6e974b0f3e9a9268"),
    "fashion-gpu": (114, "ded413b6a3509dab"),
    "ladder": (260, "cf8068896dd22375"),
    "methods": (501, "4ea935255ef075aa"),
    "paper-bsr": (540, "1c978455c09a4312"),
    "paper-imagenet": (9, "923e16f63c4204f3"),
    "paper-itop": (378, "ef5775d6bffb3324"),
    "paper-rigl": (189, "15f1de451b89317b"),
}


@pytest.mark.parametrize("name", SLUGS)
def test_the_slugs_of_a_committed_grid_stay(name: str) -> None:
    slugs = sorted(cell.slug for cell in load_grid(name).cells)
    digest = hashlib.sha256("\n".join(slugs).encode()).hexdigest()
    assert (len(slugs), digest[:16]) == SLUGS[name]
