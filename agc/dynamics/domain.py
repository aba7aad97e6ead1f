"""Of which trainings the linearised dynamics can say anything, asked before any compute."""

from __future__ import annotations

from agc.architectures import cell_calls
from agc.corrections.shared.control_variate import ControlVariate
from agc.grids.axes import AXES
from agc.grids.cell import Cell
from agc.methods.shared.hooks import Method
from agc.registry import CORRECTIONS, METHODS

KNOWN = ("dataset", "architecture", "objective", "method", "correction", "optimizer")
"""Axes that are looked at below. Whatever else changes a training is not known."""

SPARSEST = 0.85
"""Above it, a network near its first weights learns far more slowly than the network does: at 90 %
zeros a first check found no prediction within reach where training came there."""

BIASED = ("clean-bias",)
"""Corrections by a full gradient whose mean is not the plain one."""

HARMLESS = ("none", "placebo")
"""Corrections that leave the course as it is, but for rounding."""


def refusal(cell: Cell) -> str | None:
    """Why nothing can be predicted of a cell; None if something can."""
    training, method = cell.training, METHODS[cell.method.name].target
    for name, axis in AXES.items():
        chosen = axis.of(cell).name
        if name not in KNOWN and chosen != axis.default:
            return f"{name} {chosen!r}: its dynamics are not known"
    if training.start is None:
        return (
            "it starts from drawn weights: features are learnt then, which the linear net has not"
        )
    if cell_calls(cell.architecture) is not None:
        return f"architecture {cell.architecture.name!r}: each step projects its weights"
    if cell.objective.name != "standard":
        return f"objective {cell.objective.name!r}: the loss moves with the attack"
    if training.optimizer.name != "sgd":
        return f"optimizer {training.optimizer.name!r}: the dynamics are those of SGD"
    if method.advance is not Method.advance:
        return f"method {cell.method.name!r}: its masks or weights move by themselves"
    if cell.sparsity > SPARSEST:
        return (
            f"sparsity {cell.sparsity:g}: above {SPARSEST:g} the linear net is far too slow, as "
            "features have to be learnt"
        )
    if not _only_noise(cell):
        return f"correction {cell.correction.name!r}: it changes the mean of the gradient"
    if training.clip_norm is not None:
        return "clip_norm: the dynamics are those of whole gradients"
    if training.precision != "float32":
        return f"precision {training.precision}: the dynamics are those of float32"
    return None


def remarks(cell: Cell) -> list[str]:
    """What is left out of a prediction that can be made."""
    if cell.correction.name in HARMLESS:
        return []
    return [f"predicted as without correction {cell.correction.name!r}, which changes noise alone"]


def _only_noise(cell: Cell) -> bool:
    """Whether a correction has the mean of the plain gradient."""
    name, options = cell.correction.name, cell.correction.options
    target = CORRECTIONS[name].target
    if name in HARMLESS:
        return True
    return (
        issubclass(target, ControlVariate)
        and name not in BIASED
        and target.searchable
        and target.pass_images == "prepared"
        and options.get("pass_images", "prepared") == "prepared"
        and options.get("variant", "corrected") == "corrected"
    )
