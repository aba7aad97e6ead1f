"""Robust accuracy: PGD by torchattacks, kept from touching anything but the images."""

from __future__ import annotations

import torch
from torch import nn

from agc import rng
from agc.cell import Evaluation
from agc.datasets.loader import in_order
from agc.datasets.store import Split
from agc.errors import UserError
from agc.evaluation.clean import BATCH
from agc.objectives.attack import attacked


def evaluate_robust(
    model: nn.Module, split: Split, settings: Evaluation, seed: int
) -> dict[str, float]:
    """Fraction of images classified right before, and after, PGD in the L∞ ball.

    The library draws from torch's global generators and forgets the modes of submodules; both
    are fenced off here. An image that is wrong before the attack counts as wrong after it.

    Args:
        model: takes images in [0, 1].
        split: images to attack.
        settings: radius, step size and steps.
        seed: of the random starts.

    Raises:
        UserError: torchattacks is not installed.
    """
    try:
        from torchattacks import PGD
    except ModuleNotFoundError as error:
        raise UserError("robust evaluation needs torchattacks: pip install torchattacks") from error
    device = split.labels.device
    clean = torch.zeros((), dtype=torch.int64, device=device)
    robust = torch.zeros((), dtype=torch.int64, device=device)
    with rng.isolated(rng.derive(seed, "robust evaluation")), attacked(model):
        attack = PGD(
            model,
            eps=settings.epsilon,
            alpha=settings.step_size,
            steps=settings.steps,
            random_start=True,
        )
        for batch in in_order(split, BATCH):
            adversarial = attack(batch.images, batch.labels).detach()
            with torch.no_grad():
                right = model(batch.images).argmax(dim=1) == batch.labels
                held = model(adversarial).argmax(dim=1) == batch.labels
            clean += right.sum()
            robust += (right & held).sum()
    return {
        "clean_accuracy": clean.item() / len(split),
        "robust_accuracy": robust.item() / len(split),
    }
