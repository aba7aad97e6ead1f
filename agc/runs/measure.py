"""What is measured after each epoch: a line of ``epochs.csv``, and lines of ``layers.csv``."""

from __future__ import annotations

from typing import Any

from agc import rng
from agc.evaluation.clean import evaluate_clean
from agc.evaluation.robust import validate_robust
from agc.evaluation.topology import TopologyWatch
from agc.records.record import SELECTION_KEY
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
        The epoch's row, and one for each layer.
    """
    validation = evaluate_clean(run.model, run.validation)
    test = evaluate_clean(run.model, run.test)
    diagnostics = run.correction.diagnostics()
    moved, layers = topology.measure(run.method, epoch)
    row = {
        "epoch": epoch,
        "train_loss": loss,
        "validation_loss": validation[0],
        "validation_accuracy": validation[1],
        **_robust(run, epoch),
        "test_loss": test[0],
        "test_accuracy": test[1],
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
    }
    return row, layers


def _robust(run: Run, epoch: int) -> dict[str, float]:
    """Accuracy under attack on the validation images, if the best epoch is chosen by it."""
    settings = run.cell.evaluation
    if not settings.validation_steps:
        return {}
    draw = rng.generator(run.cell.seed, "validation/attack", epoch, device=run.loader.device)
    return {SELECTION_KEY: validate_robust(run.model, run.validation, settings, draw)}
