"""Robust accuracy under PGD: of test images for the record, of validation images to select by."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from agc import rng
from agc.attacks.shared.pgd import attacked, pgd
from agc.datasets.base import Split
from agc.datasets.shared.loader import in_order
from agc.errors import UserError
from agc.evaluation.calibration import calibration
from agc.evaluation.clean import BATCH
from agc.grids.settings import Evaluation
from agc.objectives.shared.adversarial import against

Crafter = Callable[[Tensor, Tensor], Tensor]
"""``(images, labels) -> adversarial images``."""


def evaluate_robust(
    model: nn.Module, split: Split, settings: Evaluation, seed: int
) -> dict[str, float]:
    """Accuracy before and after PGD, and calibration before it.

    The L∞ attack is torchattacks'. The library draws from torch's global generators and forgets
    the modes of submodules; both are fenced off here. Its L2 attack fails on channels-last
    tensors, so that one is our own. An image that is wrong before the attack counts as wrong
    after it.

    Args:
        model: takes images in [0, 1].
        split: images to attack.
        settings: norm, radius, step size and steps.
        seed: of the random starts.

    Returns:
        ``clean_accuracy`` and ``robust_accuracy``, fractions, and what
        :func:`agc.evaluation.calibration.calibration` measures.

    Raises:
        UserError: torchattacks is not installed.
    """
    device = split.labels.device
    robust = torch.zeros((), dtype=torch.int64, device=device)
    logits = []
    seed = rng.derive(seed, "robust evaluation")
    with rng.isolated(seed), attacked(model):
        craft = _crafter(model, settings, torch.Generator(device=device).manual_seed(seed))
        for batch in in_order(split, BATCH):
            adversarial = craft(batch.images, batch.labels).detach()
            with torch.no_grad():
                logits.append(model(batch.images))
                right = logits[-1].argmax(dim=1) == batch.labels
                held = model(adversarial).argmax(dim=1) == batch.labels
            robust += (right & held).sum()
    clean = torch.cat(logits)
    return {
        "clean_accuracy": (clean.argmax(dim=1) == split.labels).double().mean().item(),
        "robust_accuracy": robust.item() / len(split),
        **calibration(clean, split.labels),
    }


def _crafter(model: nn.Module, settings: Evaluation, generator: Generator) -> Crafter:
    """The attack of the record.

    Raises:
        UserError: torchattacks is not installed.
    """
    if settings.norm == "l2":
        return _own(model, settings, settings.steps, generator)
    try:
        from torchattacks import PGD
    except ModuleNotFoundError as error:
        raise UserError(
            "robust evaluation needs torchattacks: pip install --no-deps torchattacks==3.5.1"
        ) from error
    return PGD(
        model,
        eps=settings.epsilon,
        alpha=settings.step_size,
        steps=settings.steps,
        random_start=True,
    )


def _own(model: nn.Module, settings: Evaluation, steps: int, generator: Generator) -> Crafter:
    def craft(images: Tensor, labels: Tensor) -> Tensor:
        return pgd(
            model,
            images,
            against(labels),
            epsilon=settings.epsilon,
            step_size=settings.step_size,
            steps=steps,
            generator=generator,
            norm=settings.norm,
        )

    return craft


def validate_robust(
    model: nn.Module, split: Split, settings: Evaluation, generator: Generator
) -> float:
    """Accuracy, a fraction, under our own PGD of ``settings.validation_steps`` steps.

    Parameters, modes, buffers and global random streams are left as they are.
    """
    held = torch.zeros((), dtype=torch.int64, device=split.labels.device)
    craft = _own(model, settings, settings.validation_steps, generator)
    for batch in in_order(split, BATCH):
        adversarial = craft(batch.images, batch.labels)
        with attacked(model), torch.no_grad():
            held += (model(adversarial).argmax(dim=1) == batch.labels).sum()
    return held.item() / len(split)
