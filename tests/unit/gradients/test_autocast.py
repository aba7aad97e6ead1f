from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from agc.errors import UserError
from agc.gradients.autocast import use_products
from agc.grids.cell import Cell
from agc.training.build import build, build_model, load_dataset


@pytest.fixture
def products() -> Iterator[Callable[[], tuple[bool, bool]]]:
    """Asks whether matrix products and convolutions round to TF32; afterwards as before."""

    def asked() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = asked()
    yield asked
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize(
    ("precision", "rounds"), [("float32", False), ("tf32", True), ("bfloat16", False)]
)
def test_products_round_to_tf32_where_the_cell_says_so_and_nowhere_else(
    precision: str,
    rounds: bool,
    tiny_cell: Callable[..., Cell],
    products: Callable[[], tuple[bool, bool]],
) -> None:
    use_products("tf32" if not rounds else "float32")
    cell = tiny_cell(training={"precision": precision})
    build_model(cell, load_dataset(cell), "cpu")
    assert products() == (rounds, rounds)


def test_tf32_is_refused_where_no_product_could_be_rounded_to_it(
    tiny_cell: Callable[..., Cell],
) -> None:
    with pytest.raises(UserError, match=r"tf32 is for CUDA devices.*'cpu': say float32"):
        build(tiny_cell(training={"precision": "tf32"}))
