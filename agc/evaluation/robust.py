"""Robust accuracy under PGD: of test images for the record, of validation images to select by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from agc import rng
from agc.attacks.shared.pgd import attacked, pgd
from agc.datasets.base import SPLIT_SEED, Split
from agc.datasets.shared.loader import in_order
from agc.errors import UserError
from agc.evaluation.calibration import calibration
from agc.evaluation.clean import BATCH
from agc.evaluation.solvers import judged_by_both
from agc.grids.settings import Evaluation
from agc.machine.memory import with_smaller_batches
from agc.objectives.shared.adversarial import against

Crafter = Callable[[Tensor, Tensor], Tensor]
"""``(images, labels) -> adversarial images``."""


class Attacked(NamedTuple):
    """What an attack on a network's test images has found.

    ``measures``: ``clean_accuracy`` and ``robust_accuracy``, fractions, and what
    :func:`agc.evaluation.calibration.calibration` measures. ``right`` before the attack, ``asked``,
    and ``held`` in spite of it: bool [images] on the CPU; one that was not asked has not held.
    """

    measures: dict[str, Any]
    right: Tensor
    asked: Tensor
    held: Tensor


def evaluate_robust(model: nn.Module, split: Split, settings: Evaluation, seed: int) -> Attacked:
    """Attack images by PGD; accuracy before and after it, and calibration before it.

    The L∞ attack is torchattacks'. The library draws from torch's global generators and forgets
    the modes of submodules; both are fenced off here. Its L2 attack fails on channels-last
    tensors, so that one is our own. An image that is wrong before the attack counts as wrong
    after it; with several random starts, one that is wrong after any of them. An equilibrium
    network is attacked by JIIO too (:mod:`agc.evaluation.solvers`), and must stand both.

    Args:
        model: takes images in [0, 1].
        split: images to attack.
        settings: norm, radius, step size, steps, random starts and number of images.
        seed: of the random starts.

    Raises:
        UserError: torchattacks is not installed.
    """

    def seen(size: int) -> Tensor:
        return torch.cat([model(batch.images) for batch in in_order(split, size)])

    with attacked(model), torch.no_grad():
        logits = with_smaller_batches(seen, BATCH)
    right = logits.argmax(dim=1) == split.labels
    asked = chosen_images(len(split), settings.images).to(right.device)
    # The first start is made on all that are asked: its draws do not depend on the network.
    held, rows = right & asked, asked.nonzero().flatten()
    for start in range(settings.restarts):
        draw = rng.derive(seed, "robust evaluation", start)
        held[rows] &= _stands(model, split[rows], settings, draw)
        rows = held.nonzero().flatten()
    solvers = judged_by_both(model, split, settings, right & asked, held, asked)
    measures = {
        "clean_accuracy": right.double().mean().item(),
        "robust_accuracy": held[asked].double().mean().item(),
        **calibration(logits, split.labels),
        **solvers,
    }
    return Attacked(measures, right.cpu(), asked.cpu(), held.cpu())


def chosen_images(count: int, images: int | None) -> Tensor:
    """The test images that are attacked, bool [count]: the first ``images`` of a fixed shuffle."""
    if images is None or images >= count:
        return torch.ones(count, dtype=torch.bool)
    generator = rng.generator(SPLIT_SEED, "attacked images")
    chosen = torch.zeros(count, dtype=torch.bool)
    chosen[torch.randperm(count, generator=generator)[:images]] = True
    return chosen


def _stands(model: nn.Module, split: Split, settings: Evaluation, seed: int) -> Tensor:
    """Which images are right after one start of the attack, bool [images]."""
    if not len(split):
        return split.labels.bool()

    def stands(size: int) -> Tensor:
        found = []
        with rng.isolated(seed), attacked(model):
            generator = torch.Generator(device=split.labels.device).manual_seed(seed)
            craft = _crafter(model, settings, generator)
            for batch in in_order(split, size):
                adversarial = craft(batch.images, batch.labels).detach()
                with torch.no_grad():
                    found.append(model(adversarial).argmax(dim=1) == batch.labels)
        return torch.cat(found)

    return with_smaller_batches(stands, BATCH)


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
    start = generator.get_state()

    def validate(size: int) -> float:
        generator.set_state(start)
        held = torch.zeros((), dtype=torch.int64, device=split.labels.device)
        craft = _own(model, settings, settings.validation_steps, generator)
        for batch in in_order(split, size):
            adversarial = craft(batch.images, batch.labels)
            with attacked(model), torch.no_grad():
                held += (model(adversarial).argmax(dim=1) == batch.labels).sum()
        return held.item() / len(split)

    return with_smaller_batches(validate, BATCH)
