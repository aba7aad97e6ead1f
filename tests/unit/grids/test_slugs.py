"""No cell of the committed grids changes its name: finished cells are found by it."""

from __future__ import annotations

import hashlib

import pytest

from agc.grids.grid import load_grid

# Number of cells, and the beginning of the SHA-256 of their slugs, sorted, a line each. Another
# one here means that finished cells are not found again: only a change of the grid, or of what a
# cell computes, is a reason.
SLUGS = {
    "bsr": (84, "bdd5ef7374d58afe"),
    "corrections": (555, "3b7ec29060076ece"),
    "digits": (84, "d3069df6adde03cb"),
    "fashion": (57, "70cf0a4fcb3a6a56"),
    "fashion-gpu": (87, "fcce9c337e158ace"),
    "methods": (417, "5eba67a380b0b302"),
    "paper-bsr": (432, "f663d91307ef9750"),
    "paper-imagenet": (7, "47daa28e95e9a6e2"),
    "paper-itop": (306, "5565defa5d9a57b8"),
    "paper-rigl": (153, "1c68c634df3e85e4"),
}


@pytest.mark.parametrize("name", SLUGS)
def test_the_slugs_of_a_committed_grid_stay(name: str) -> None:
    slugs = sorted(cell.slug for cell in load_grid(name).cells)
    digest = hashlib.sha256("\n".join(slugs).encode()).hexdigest()
    assert (len(slugs), digest[:16]) == SLUGS[name]
