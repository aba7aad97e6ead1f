"""The checks of compressors find what they are for: each broken one fails the check it should."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch

from agc.compressors.base import Compressor, Message
from agc.conformance.compressors import CHECKS
from agc.registry import COMPRESSORS
from tests.support.conformance import registered


class Doubles(Compressor):
    """Sends more than there is."""

    def compress(self, message: Message, step: int) -> Message:
        return {name: 3 * numbers for name, numbers in message.items()}


class Adds(Compressor):
    """Makes something of nothing."""

    def compress(self, message: Message, step: int) -> Message:
        return {name: numbers + 1e-9 for name, numbers in message.items()}


class Rounds(Compressor):
    """Has a scale of its own."""

    def compress(self, message: Message, step: int) -> Message:
        return {name: numbers.round() for name, numbers in message.items()}


class Shares(Compressor):
    """Gives the message itself."""

    def compress(self, message: Message, step: int) -> Message:
        return message


class Draws(Compressor):
    """Drops numbers by the global stream."""

    def compress(self, message: Message, step: int) -> Message:
        return {n: numbers * (torch.rand(len(numbers)) > 0.5) for n, numbers in message.items()}


class Wastes(Compressor):
    """Takes twice the bits of plain numbers."""

    def bits(self, sizes: Iterable[int]) -> int:
        return 64 * sum(sizes)


BROKEN = [
    (Doubles, "it_leaves_no_more_than_there_was"),
    (Adds, "a_message_of_zeros_is_read_as_zeros"),
    (Rounds, "a_scaled_message_is_read_scaled"),
    (Shares, "messages_stay_as_they_were"),
    (Draws, "two_workers_read_the_same"),
    (Wastes, "bits_are_those_of_numbers_at_most"),
]


@pytest.mark.parametrize(("broken", "check"), BROKEN, ids=[check for _, check in BROKEN])
def test_a_broken_compressor_fails_its_check(broken: type[Compressor], check: str) -> None:
    with registered(COMPRESSORS, broken) as name, pytest.raises(AssertionError):
        CHECKS[check](name)
