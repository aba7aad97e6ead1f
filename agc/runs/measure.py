"""What is measured after each epoch: a line of ``epochs.csv``, and lines of ``layers.csv``."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from agc import rng
from agc.cost.bits import BitLedger
from agc.evaluation.clean import evaluate_clean
from agc.evaluation.fixed_points import fixed_points
from agc.evaluation.robust import validate_robust
from agc.evaluation.topology import TopologyWatch
from agc.records.read import BIT_COLUMNS
from agc.records.record import SELECTION_KEY, TEST_KEYS
from agc.training.run import Run

Row = dict[str, Any]


def epoch_row(run: Run, epoch: int, loss: float, topology: TopologyWatch) -> tuple[Row, list[Row]]:
    """Measure the network at an epoch's end; nothing in it depends on the clock.

    Args:
        run: what is trained.
        epoch: 1-based.
        loss: mean training loss of its steps.
        topology: compares the masks with those of the epoch before.

    Returns:
        The epoch's row, and one for each layer. Of the test images the row has None where the cell
        wants them measured after the last epoch only, and this is an earlier one.
    """
    validation = evaluate_clean(run.model, run.validation)
    due = run.cell.evaluation.test == "every-epoch" or epoch == run.cell.training.epochs
    test = tested(run) if due else dict.fromkeys(TEST_KEYS)
    diagnostics = run.correction.diagnostics()
    moved, layers = topology.measure(run.method, epoch)
    row = {
        "epoch": epoch,
        "train_loss": loss,
        "validation_loss": validation[0],
        "validation_accuracy": validation[1],
        **_robust(run, epoch),
        **test,
        "learning_rate": run.optimizer.param_groups[0]["lr"],
        "sparsity": run.method.sparsity(),
        "exploration_rate": run.method.exploration_rate(),
        **moved,
        "tau": diagnostics.get("tau"),
        "coefficient": diagnostics.get("coefficient"),
        "updates": run.ledger.updates,
        "units": run.meter.units(run.loader.images_per_epoch),
        "flops": run.ledger.so_far(run.method),
        "steps": run.method.steps,
        **_bits(run),
        **run.communication.traffic(),
        **fixed_points(run),
        **{key: run.step.mean(value).item() for key, value in run.objective.diagnostics().items()},
    }
    return row, layers


def _bits(run: Run) -> dict[str, float | None]:
    """Of a quantised network, training FLOPs weighted with bits, and the bits of the epoch."""
    if not isinstance(run.ledger, BitLedger):
        return {}
    spent, told = run.ledger.bits_so_far(run.method), run.quantization.diagnostics()
    found = {"bit_flops": spent.total, "bit_flops_published": spent.published, **told}
    return {column: found.get(column) for column in BIT_COLUMNS}


def tested(run: Run) -> Row:
    """Loss and accuracy on the test images, by the names of ``epochs.csv``."""
    return dict(zip(TEST_KEYS, evaluate_clean(run.model, run.test), strict=True))


def tested_at(run: Run, state: dict[str, Tensor]) -> Row:
    """The same at other weights, a state dict of the model, which has its own again afterwards."""
    own = {name: tensor.detach().clone() for name, tensor in run.model.state_dict().items()}
    run.model.load_state_dict(state)
    try:
        return tested(run)
    finally:
        run.model.load_state_dict(own)


def _robust(run: Run, epoch: int) -> dict[str, float]:
    """Accuracy under attack on the validation images, if the best epoch is chosen by it."""
    settings = run.cell.evaluation
    if not settings.validation_steps:
        return {}
    draw = rng.generator(run.cell.seed, "validation/attack", epoch, device=run.loader.device)
    return {SELECTION_KEY: validate_robust(run.model, run.validation, settings, draw)}
