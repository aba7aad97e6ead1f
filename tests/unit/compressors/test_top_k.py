from __future__ import annotations

import torch

from agc.compressors.base import make_compressor
from agc.compressors.top_k import TopK
from agc.conformance.compressors import message


def test_the_largest_of_each_tensor_are_sent_as_they_are() -> None:
    for name, numbers in message().items():
        sent = TopK(ratio=0.1).compress({name: numbers}, 0)[name]
        count = min(len(numbers), max(1, int(0.1 * len(numbers))))
        largest = numbers.abs().sort(descending=True).indices[:count]
        expected = torch.zeros_like(numbers)
        expected[largest] = numbers[largest]
        assert torch.equal(sent, expected)


def test_it_leaves_at_most_the_share_that_is_not_sent() -> None:
    """|D - C(D)|² ≤ (1 - k / n) |D|² of each tensor."""
    for seed, ratio in ((0, 0.1), (1, 0.5), (2, 1.0)):
        whole = message(seed)
        for name, sent in TopK(ratio=ratio).compress(whole, 0).items():
            n = len(sent)
            if n:
                share = 1 - min(n, max(1, int(ratio * n))) / n
                left = (whole[name] - sent).square().sum()
                assert left <= share * whole[name].square().sum() * (1 + 1e-12)


def test_bits_of_numbers_and_places() -> None:
    assert TopK(ratio=0.1).bits([1000, 5, 0]) == 100 * (32 + 10) + 1 * (32 + 3)
    # Four workers' places are longer than the plain numbers of a small tensor, not of a large one.
    assert TopK(ratio=0.01).bits_of_mean([1000, 5], 4) == 4 * 10 * 42 + min(4 * 35, 32 * 5)
    assert TopK(ratio=0.9).bits_of_mean([1000], 4) == 32 * 1000


def test_a_ratio_is_the_compressors_own_if_none_is_given() -> None:
    assert make_compressor("top-k", None, 0).ratio == 0.1
    assert make_compressor("top-k", 0.3, 0).ratio == 0.3
