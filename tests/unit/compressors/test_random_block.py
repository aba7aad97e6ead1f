from __future__ import annotations

import torch

from agc.compressors.random_block import RandomBlock

NUMBERS = {"a": torch.arange(1.0, 41.0), "b": torch.ones(40)}


def test_a_block_is_sent_as_it_is_and_goes_on_at_the_beginning() -> None:
    compressor, around = RandomBlock(ratio=0.25, seed=0), 0
    for step in range(60):
        sent = compressor.compress(NUMBERS, step)["a"]
        places = sent.nonzero().squeeze(1)
        assert len(places) == 10
        assert torch.equal(sent[places], NUMBERS["a"][places])
        jumps = int((places.diff() != 1).sum())
        assert jumps == (0 if jumps == 0 else 1)
        around += jumps
        if jumps:
            assert {0, 39} <= set(places.tolist())
    assert around


def test_every_place_comes_as_often() -> None:
    """In 400 steps a place of a quarter is sent 100 times, give or take 5 standard deviations."""
    compressor = RandomBlock(ratio=0.25, seed=3)
    counts = sum((compressor.compress(NUMBERS, step)["b"] != 0).int() for step in range(400))
    assert (counts - 100).abs().max() < 5 * (400 * 0.25 * 0.75) ** 0.5


def test_no_place_is_sent() -> None:
    assert RandomBlock(ratio=0.25).bits([40, 3]) == 32 * (10 + 1)
    assert RandomBlock().bits_of_mean([640], 4) == 32 * 10
