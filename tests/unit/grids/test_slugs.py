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
    "cgq": (110, "e29bc33f7cea8232"),
    "communication": (600, "e7aa4e2719df4284"),
    "corrections": (600, "1d3efdbc42b47300"),
    "digits": (160, "232ebf1311f8fcb3"),
    "equilibrium": (135, "3afa055017c93b8b"),
    "fashion": (72, "6e974b0f3e9a9268"),
    "fashion-gpu": (114, "ded413b6a3509dab"),
    "ladder": (260, "cf8068896dd22375"),
    "methods": (501, "4ea935255ef075aa"),
    "optimizers": (270, "af7b2e3e3573f4ee"),
    "prediction": (96, "636a8a86293408f4"),
    "paper-bsr": (540, "1c978455c09a4312"),
    "paper-imagenet": (9, "923e16f63c4204f3"),
    "paper-itop": (378, "ef5775d6bffb3324"),
    "paper-rigl": (189, "15f1de451b89317b"),
    "quantization": (385, "28fe489270d90c9c"),
    "study-arms": (40, "e4f98612521ba605"),
    "study-attack": (80, "90a1d596b83801bc"),
    "study-bsr": (140, "a706e5e85e37b6d8"),
    "study-collapse": (40, "2fe423c03dc607aa"),
    "study-controls": (150, "7658ffd0a418cc1e"),
    "study-core": (150, "526ae81332c31c37"),
    "study-digits": (300, "d2bda747941027ca"),
    "study-ladder": (90, "e88b126fe10fd50f"),
    "study-networks": (52, "7e2fc8629313fc15"),
    "study-noise": (48, "1d659a60df24c765"),
    "study-published": (70, "6304fbe73422aa7e"),
}


@pytest.mark.parametrize("name", SLUGS)
def test_the_slugs_of_a_committed_grid_stay(name: str) -> None:
    slugs = sorted(cell.slug for cell in load_grid(name).cells)
    digest = hashlib.sha256("\n".join(slugs).encode()).hexdigest()
    assert (len(slugs), digest[:16]) == SLUGS[name]
