from __future__ import annotations

import torch

from agc import MicroBatches
from agc.communication.shared.shares import shared_pass, shares
from agc.datasets.shared.loader import Batch

ROWS = torch.arange(8)


def test_rows_of_everything_nested_are_dealt_in_turn() -> None:
    batch = {"x": (ROWS, [ROWS + 10]), "scale": torch.tensor(3.0), "name": "train"}
    second = shares(batch, 4)[1]
    assert second["x"][0].tolist() == [1, 5]
    assert second["x"][1][0].tolist() == [11, 15]
    assert second["scale"].item() == 3.0
    assert second["name"] == "train"
    assert shares(batch, 1)[0] is batch


def test_a_batch_of_the_suite_keeps_its_kind_and_draws_its_own_noise() -> None:
    batch = Batch(ROWS.float(), ROWS, None, noise=7, index=2)
    found = shares(batch, 2)
    assert [type(one) for one in found] == [Batch, Batch]
    assert found[1].labels.tolist() == [1, 3, 5, 7]
    assert found[0].noise == 7
    assert len({one.noise for one in shares(batch, 8)}) == 8
    assert {one.index for one in found} == {2}
    assert shares(batch, 2)[1].noise == found[1].noise


def test_a_pass_gives_every_batch_as_its_shares_and_says_when_it_begins() -> None:
    begun: list[int] = []
    data = shared_pass([ROWS, ROWS + 8], 2, lambda: begun.append(0))
    assert len(data) == 2
    for _ in range(2):
        first, second = data
        assert isinstance(first, MicroBatches)
        assert [rows.tolist() for rows in second] == [[8, 10, 12, 14], [9, 11, 13, 15]]
    assert len(begun) == 2
    assert next(iter(shared_pass([ROWS], 1, lambda: None))) is ROWS
    assert not hasattr(shared_pass(iter([ROWS]), 2, lambda: None), "__len__")


def test_passes_of_other_images_are_shared_too() -> None:
    class Data(list):
        def showing(self, images: str) -> list[torch.Tensor]:
            return [ROWS + len(images)]

    data = shared_pass(Data([ROWS]), 2, lambda: None)
    (raw,) = data.showing("raw")
    assert [rows.tolist() for rows in raw] == [[3, 5, 7, 9], [4, 6, 8, 10]]
    assert not hasattr(shared_pass([ROWS], 2, lambda: None), "showing")
