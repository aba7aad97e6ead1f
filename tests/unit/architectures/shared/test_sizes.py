from __future__ import annotations

import pytest

from agc.architectures.shared.sizes import next_size


@pytest.mark.parametrize(
    ("takes", "size", "native", "expected"),
    [
        ({72, 80, 224}, 8, 224, 72),
        ({224}, 64, 224, 224),
        ({16, 299}, 28, 299, 299),  # its own size is no multiple of 8
        ({32, 36, 224}, 28, 224, 32),
        ({32, 72, 224}, 32, 224, 72),  # only above
        ({160, 208}, 200, 160, 208),  # its own size is below
        ({160}, 200, 160, None),
        ({8, 16, 24}, 8, 24, 16),
        ({8, 16}, 8, 224, None),  # it does not take its own: the fault is another
        ({224}, 224, 224, None),
    ],
)
def test_the_next_size_is_the_first_multiple_of_eight_that_is_taken(
    takes: set[int], size: int, native: int, expected: int | None
) -> None:
    assert next_size(takes.__contains__, size, native) == expected


def test_nothing_is_tried_twice_or_after_the_answer() -> None:
    tried: list[int] = []
    next_size(lambda size: tried.append(size) or size >= 24, 10, 224)
    assert tried == [224, 16, 24]
