"""Trainings of a few steps, and all that they leave, for what must leave the same bits."""

from __future__ import annotations

from typing import Any

import torch

from agc.registry import CORRECTIONS, METHODS, OBJECTIVES
from agc.training.loop import train
from agc.training.run import Run
from tests.support.pairs import BATCH, make

STEPS = 7
"""Of which two are as usual where steps are recorded, one is recorded, and four replay it."""

ALL = [
    (axis, name)
    for axis, registry in (
        ("method", METHODS),
        ("correction", CORRECTIONS),
        ("objective", OBJECTIVES),
    )
    for name in registry.names()
]
"""Every entry that takes part in a step's passes, with its axis."""


def few_steps(names: dict[str, Any], **training: Any) -> dict[str, Any]:
    """A few steps of four images, one of which updates the topology; RigL and AGC by default."""
    given = {"method": "rigl", "correction": "agc", **names}
    plain = {k: v if isinstance(v, str) else v["name"] for k, v in given.items()}
    found = make(plain).model_dump(mode="json")
    found |= {k: v for k, v in given.items() if not isinstance(v, str)}
    found["training"]["validation"] = 1437 - STEPS * BATCH
    fixed = CORRECTIONS[plain["correction"]].target.fixed_batches
    found["training"] |= {"fixed_batches": fixed, **training}
    return found


def left_by(run: Run) -> dict[str, torch.Tensor]:
    """Train, and say what that leaves: state of the network, masks and losses."""
    losses = torch.cat([losses for _, losses in train(run)])
    left = {f"model.{name}": tensor for name, tensor in run.model.state_dict().items()}
    left |= {f"mask.{name}": mask for name, mask in run.method.masks.items()}
    return left | {"losses": losses}
