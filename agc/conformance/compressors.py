"""What holds for every compressor; each check takes a name and asserts."""

from __future__ import annotations

import torch
from torch import Tensor

from agc import rng
from agc.compressors.base import Compressor, Message, make_compressor
from agc.conformance.checks import listed

SIZES = {"conv.weight": 123, "one": 1, "bias": 7, "empty": 0}


def message(seed: int = 0) -> Message:
    """Numbers of several sizes, of heavy tails, with zeros among them."""
    draw = rng.generator(seed, "message")
    found = {}
    for name, size in SIZES.items():
        numbers = torch.randn(size, generator=draw, dtype=torch.float64) ** 3
        found[name] = numbers * (torch.rand(size, generator=draw) > 0.1)
    return found


def one(name: str, seed: int = 0) -> Compressor:
    """The compressor with its own ratio, if it has one."""
    return make_compressor(name, None, seed)


def it_leaves_no_more_than_there_was(name: str) -> None:
    """|D - C(D)|² ≤ |D|², over all tensors together: error feedback diverges otherwise."""
    for seed in range(20):
        sent = one(name).compress(message(seed), seed)
        whole = message(seed)
        left, total = (
            _square({n: whole[n] - factor * sent[n] for n in whole}) for factor in (1, 0)
        )
        assert left <= total * (1 + 1e-12), f"|D - C(D)|² = {left:.4g} of {total:.4g}"


def a_message_of_zeros_is_read_as_zeros(name: str) -> None:
    """Nothing is made of nothing."""
    zeros = {n: torch.zeros_like(numbers) for n, numbers in message().items()}
    assert not _square(one(name).compress(zeros, 0)), "zeros are read as something else"


def a_scaled_message_is_read_scaled(name: str) -> None:
    """C(4 D) = 4 C(D), to the bit: no learning rate is a secret option."""
    once, four = one(name).compress(message(), 3), one(name).compress(_times(message(), 4), 3)
    assert _same(_times(once, 4), four), "C(4 D) is not 4 C(D)"


def messages_stay_as_they_were(name: str) -> None:
    """What it gives are new tensors of the same names and shapes."""
    whole = message()
    sent = one(name).compress(whole, 0)
    assert _same(whole, message()), "the message was changed"
    assert {n: numbers.shape for n, numbers in sent.items()} == {
        n: numbers.shape for n, numbers in whole.items()
    }
    for numbers in sent.values():
        numbers.add_(1)
    assert _same(whole, message()), "what is read shares memory with the message"


def two_workers_read_the_same(name: str) -> None:
    """Seed and step say all, whatever the global streams are; another seed may read another."""
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(one(name).compress(message(), 5))
        assert torch.equal(torch.get_rng_state(), before), "a global random stream moved"
    assert _same(*found), "two calls differ"


def bits_are_those_of_numbers_at_most(name: str) -> None:
    """A message and a mean of several have more than none and no more than plain numbers; of
    ``identity`` exactly those.
    """
    sizes = [1000, 64, 10]
    plain = 32 * sum(sizes)
    found = one(name).bits(sizes), one(name).bits_of_mean(sizes, 4)
    for bits in found:
        assert isinstance(bits, int), f"{bits!r} is no whole number"
        assert 0 < bits <= plain, f"{bits} bits where plain numbers have {plain}"
    assert name != "identity" or found == (plain, plain)


def _square(found: Message) -> float:
    return sum(float(numbers.square().sum()) for numbers in found.values())


def _times(found: Message, factor: float) -> Message:
    return {name: numbers * factor for name, numbers in found.items()}


def _same(found: Message, other: Message) -> bool:
    pairs: list[tuple[Tensor, Tensor]] = [(found[name], other[name]) for name in found]
    return found.keys() == other.keys() and all(torch.equal(a, b) for a, b in pairs)


CHECKS = listed(
    it_leaves_no_more_than_there_was,
    a_message_of_zeros_is_read_as_zeros,
    a_scaled_message_is_read_scaled,
    messages_stay_as_they_were,
    two_workers_read_the_same,
    bits_are_those_of_numbers_at_most,
)
