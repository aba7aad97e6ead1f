"""What a CUDA device has no deterministic algorithm for ends in one line that names the way out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from agc.errors import UserError
from agc.grids.cell import make_cell
from agc.machine.determinism import determinism_errors
from agc.runs.train import CellRun
from tests.support.card_runs import cell

if TYPE_CHECKING:
    from agc.machine.device import Machine

pytestmark = pytest.mark.gpu


def test_an_operation_that_is_not_deterministic_is_refused_by_name() -> None:
    images = torch.ones(1, 1, 7, 7, device="cuda", requires_grad=True)
    pooled = torch.nn.functional.adaptive_avg_pool2d(images, 3)
    with pytest.raises(UserError, match=r"adaptive_avg_pool2d.*--fast"), determinism_errors():
        pooled.sum().backward()


def test_a_cell_whose_network_has_one_is_refused_by_its_first_step(
    card: Machine, tmp_path: Path
) -> None:
    fields = cell({"dataset": "synthetic", "architecture": "vgg16_bn"}, batch_size=8)
    fields["training"] |= {"validation": 4000, "augmentation": {}}
    with pytest.raises(UserError, match="--fast"):
        CellRun(make_cell(fields), tmp_path, card).train()
