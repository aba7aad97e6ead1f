"""How well the cells of an equilibrium network are solved: measured at an epoch's end."""

from __future__ import annotations

from typing import Any

import torch

from agc.architectures.shared.equilibrium import equilibrium_of
from agc.datasets.shared.loader import in_order
from agc.evaluation.clean import BATCH
from agc.gradients.modes import evaluating
from agc.training.run import Run

TOLERANCE = 1e-3
"""Relative change of the state in a call, below which solvers of such networks usually stop."""


@torch.no_grad()
def fixed_points(run: Run) -> dict[str, Any]:
    """Columns of ``epochs.csv`` that equilibrium networks have; empty for any other.

    ``residual``: relative change of the state in the last call of a pass, mean over the validation
    images; ``iterations``: calls until it is below :data:`TOLERANCE`, the mean, where an image that
    does not get there counts with all of them; ``unconverged``: how many do not; ``contraction``:
    the norm of the cell, or the bound of it that is kept; ``cell_calls`` and ``cell_vjps``: what
    the training has cost so far, by images.
    """
    network = equilibrium_of(run.model)
    if network is None:
        return {}
    changes = []
    with evaluating(run.model):
        for batch in in_order(run.validation, BATCH):
            state, course = network.rest(batch.images), []
            for _ in range(network.calls):
                following, _ = run.model(batch.images, state)
                course.append(relative_change(state, following))
                state = following
            changes.append(torch.stack(course, dim=1))
    change = torch.cat(changes)
    # An image stays below the tolerance once it is, as each call brings states closer.
    above = ~(change < TOLERANCE)
    calls = (above.sum(dim=1) + 1).clamp(max=network.calls)
    return {
        "residual": change[:, -1].mean().item(),
        "iterations": calls.double().mean().item(),
        "unconverged": int(above[:, -1].sum()),
        "contraction": network.cell.norm().item(),
        "cell_calls": run.meter.cell_calls,
        "cell_vjps": run.meter.cell_vjps,
    }


def relative_change(state: torch.Tensor, following: torch.Tensor) -> torch.Tensor:
    """|following - state| / |following| of each image, [N]."""
    return (following - state).norm(dim=1) / following.norm(dim=1).clamp(min=1e-12)
