"""Between updates of the topology no step makes the host wait for a CUDA device."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from agc.training.loop import train
from tests.support.card_runs import CELLS, Watching, built, cell

pytestmark = pytest.mark.gpu

MODE = torch.cuda.set_sync_debug_mode


@pytest.mark.parametrize("recorded", [False, True], ids=["usual", "recorded"])
@pytest.mark.parametrize("fields", CELLS.values(), ids=CELLS)
def test_a_step_waits_for_nothing(fields: dict[str, Any], recorded: bool) -> None:
    run = built(cell(fields), recorded)
    for number, _ in enumerate(train(run)):
        if number == 0:  # libraries set themselves up, graphs are recorded, kept numbers are made
            watching = Watching(run, partial(MODE, "error"), partial(MODE, "default"))
    assert watching.seen >= 4


def test_the_mode_notices_a_wait() -> None:
    number = torch.ones((), device="cuda")
    MODE("error")
    with pytest.raises(RuntimeError, match="synchroniz"):
        number.item()
