from __future__ import annotations

import torch

from agc.compressors.sign import Sign
from agc.conformance.compressors import message


def test_the_l1_norm_is_kept_and_one_scale_serves_all_tensors() -> None:
    for seed in range(10):
        whole = message(seed)
        sent = Sign().compress(whole, 0)
        one, other = (sum(float(t.abs().sum()) for t in m.values()) for m in (whole, sent))
        assert abs(one - other) < 1e-12 * one
        assert len({float(t.abs()[0]) for t in sent.values() if len(t)}) == 1


def test_what_is_left_is_exactly_what_the_norms_say() -> None:
    """|D - C(D)|² = |D|² - |D|₁² / n, zeros among the numbers included."""
    whole = message()
    numbers = torch.cat(list(whole.values()))
    sent = torch.cat(list(Sign().compress(whole, 0).values()))
    left = numbers.square().sum() - numbers.abs().sum() ** 2 / len(numbers)
    assert abs((numbers - sent).square().sum() - left) < 1e-12 * numbers.square().sum()


def test_a_bit_a_number_and_the_scale() -> None:
    assert Sign().bits([100, 20]) == 120 + 32
    assert Sign().bits_of_mean([100, 20], 4) == 32 * 120
