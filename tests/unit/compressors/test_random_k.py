from __future__ import annotations

import torch

from agc.compressors.random_k import RandomK

NUMBERS = {"a": torch.arange(1.0, 41.0), "b": torch.ones(40)}


def test_so_many_numbers_are_sent_as_they_are() -> None:
    sent = RandomK(ratio=0.25, seed=0).compress(NUMBERS, 0)
    for name, numbers in NUMBERS.items():
        chosen = sent[name] != 0
        assert int(chosen.sum()) == 10
        assert torch.equal(sent[name][chosen], numbers[chosen])


def test_places_are_those_of_seed_step_and_tensor() -> None:
    def places(name: str, seed: int, step: int) -> tuple[int, ...]:
        sent = RandomK(ratio=0.25, seed=seed).compress(NUMBERS, step)[name]
        return tuple(sent.nonzero().squeeze(1).tolist())

    assert places("a", 0, 0) == places("a", 0, 0)
    assert (
        len({places(*which) for which in (("a", 0, 0), ("b", 0, 0), ("a", 1, 0), ("a", 0, 1))}) == 4
    )


def test_every_place_comes_as_often() -> None:
    """In 400 steps a place of a quarter is sent 100 times, give or take 5 standard deviations."""
    compressor = RandomK(ratio=0.25, seed=3)
    counts = sum((compressor.compress(NUMBERS, step)["b"] != 0).int() for step in range(400))
    assert (counts - 100).abs().max() < 5 * (400 * 0.25 * 0.75) ** 0.5


def test_a_mean_of_messages_is_as_short_as_one() -> None:
    compressor = RandomK(ratio=0.25)
    assert compressor.bits([40, 3]) == compressor.bits_of_mean([40, 3], 9) == 32 * (10 + 1)
