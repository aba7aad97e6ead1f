"""A cell's cost by hand, on a machine whose steps take round numbers of seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from agc.machine.device import Machine
from agc.planning.seconds import MODEL, UNITS, cost, disk, steps_per_epoch
from agc.runs.evaluate import evaluate_cell
from agc.runs.train import CellRun
from tests.conftest import CellMaker
from tests.support.timings import ROUND

STEPS = 2 * 4
"""Of the tiny cell: two epochs of four batches."""
LOW, HIGH = 0.9 * (1 - MODEL), 1.2 * (1 + MODEL)
"""Of a step that takes from 0.09 to 0.12 seconds, relative to its 0.1."""
VALIDATION, TEST = 1437 - 4 * 64, 360


def test_a_plain_cell_is_its_steps_its_evaluations_and_its_attack(tiny_cell: CellMaker) -> None:
    found = cost(tiny_cell(evaluation={"steps": 5}), ROUND, "here")
    assert found.train == pytest.approx(STEPS * 0.1)
    assert found.evaluation == pytest.approx(2 * (VALIDATION + TEST) * 0.001)
    assert found.attacks == pytest.approx(2 * 5 * TEST * 0.002)
    assert found.setup == 2.0
    assert found.seconds == pytest.approx(
        found.train + found.evaluation + found.setup + found.attacks
    )
    assert found.low == pytest.approx(LOW * found.seconds)
    assert found.high == pytest.approx(HIGH * found.seconds)


def test_what_a_correction_declares_is_priced_as_gradients(tiny_cell: CellMaker) -> None:
    plain, agc = (cost(tiny_cell(correction=c), ROUND, "here") for c in ("none", "agc"))
    # Seven units more: a gradient, a loss and a gradient; a gradient is three.
    more = STEPS * 7 / 3 * 0.06
    assert agc.train - plain.train == pytest.approx(more)
    assert agc.high - plain.high == pytest.approx(HIGH * more * (1 + UNITS))
    assert agc.low - plain.low == pytest.approx(LOW * more * (1 - UNITS))
    assert agc.memory - plain.memory == pytest.approx(2 * ROUND.state)


def test_a_pass_with_an_attack_is_priced_with_it(tiny_cell: CellMaker) -> None:
    objective = {"name": "pgd-at", "options": {"steps": 3}}
    plain, agc = (
        cost(tiny_cell(objective=objective, correction=c), ROUND, "here") for c in ("none", "agc")
    )
    # The timed step has the objective's attack in it; the correction's pass makes its own.
    assert plain.train == pytest.approx(STEPS * 0.1)
    assert agc.train - plain.train == pytest.approx(STEPS * (7 / 3 * 0.06 + 0.3))
    watched = tiny_cell(objective=objective, evaluation={"validation_steps": 4})
    more = cost(watched, ROUND, "here").evaluation - plain.evaluation
    assert more == pytest.approx(2 * 4 * VALIDATION * 0.002)


def test_test_images_are_evaluated_as_often_as_the_cell_says(tiny_cell: CellMaker) -> None:
    cells = [
        tiny_cell(training={"epochs": 10}, evaluation={"test": test, "images": 100, "steps": 5})
        for test in ("every-epoch", "last")
    ]
    every, last = (cost(cell, ROUND, "here") for cell in cells)
    assert every.evaluation - last.evaluation == pytest.approx(8 * TEST * 0.001)
    assert last.attacks == pytest.approx(2 * 5 * 100 * 0.002)


def test_steps_are_whole_batches_of_what_is_trained_on(tiny_cell: CellMaker) -> None:
    assert steps_per_epoch(tiny_cell(training={"validation": 157}), 1437) == 20
    assert steps_per_epoch(tiny_cell(training={"validation": 157, "images": 640}), 1437) == 10
    assert steps_per_epoch(tiny_cell(training={"validation": 0.5}), 1437) == 11


@pytest.mark.parametrize("sparse", [False, True])
def test_the_files_of_a_cell_have_the_size_that_was_predicted(
    tiny_cell: CellMaker, sparse: bool, tmp_path: Path, machine: Machine
) -> None:
    from agc.benchmarks.step_speed import sizes
    from agc.training.build import build

    fields = {"method": "rigl", "sparsity": 0.95} if sparse else {}
    cell = tiny_cell(
        architecture="resnet8", training={"epochs": 3}, evaluation={"steps": 1}, **fields
    )
    folder = tmp_path / cell.slug
    CellRun(cell, folder, machine).train()
    evaluate_cell(folder, machine)
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    state, prunable, layers = sizes(build(cell))
    timing = ROUND.__class__(
        **{**vars(ROUND), "state": state, "prunable": prunable, "layers": layers}
    )
    # Texts have numbers of any length.
    assert disk(cell, timing) == pytest.approx(size, rel=0.05)
