"""PGD and JIIO side by side on a finished equilibrium network: loss, accuracy, cell calls."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from agc import rng
from agc.architectures.shared.equilibrium import equilibrium_of
from agc.attacks.shared.joint_attack import Crafted, attack_jointly
from agc.attacks.shared.pgd import attacked, pgd
from agc.cost.meter import Meter
from agc.datasets.base import Split
from agc.datasets.shared.loader import in_order
from agc.evaluation.clean import BATCH
from agc.grids.settings import Evaluation
from agc.objectives.shared.adversarial import against

PGD_STEPS = (2, 5, 10, 20, 50)
JIIO_ITERATIONS = (10, 20, 40, 80)
"""Budgets at which the two are compared."""

REACH = 2.5
"""All steps of PGD together, in radii, as Madry et al. have it (arXiv 1706.06083)."""

FIRST_STEP = 0.6
"""JIIO's step in its first phase, in radii, as in the official code."""

Row = dict[str, Any]


def judged_by_both(
    model: nn.Module,
    split: Split,
    settings: Evaluation,
    right: Tensor,
    held: Tensor,
    asked: Tensor,
) -> dict[str, Any]:
    """Take from ``held`` what JIIO fells; what each of the two says alone. Empty, and nothing is
    done, if the model is no equilibrium network.

    Args:
        model: takes images in [0, 1]; it comes back as it was.
        split: the test images.
        settings: norm, radius and iterations.
        right: which images are right without an attack, bool [images].
        held: which of them stand PGD; changed in place.
        asked: which of them are attacked.

    Returns:
        ``robust_accuracy_pgd`` and ``robust_accuracy_jiio``, fractions of the images asked.
    """
    if equilibrium_of(model) is None:
        return {}
    by_pgd = held[asked].double().mean().item()
    rows = asked.nonzero().flatten()
    stands = _right(model, split[rows], lambda x, y: _jointly(model, x, y, settings, settings.jiio))
    by_jiio = (stands & right[rows]).double().mean().item()
    held[rows] &= stands
    return {"robust_accuracy_pgd": by_pgd, "robust_accuracy_jiio": by_jiio}


def attack_course(model: nn.Module, split: Split, settings: Evaluation, seed: int) -> list[Row]:
    """What each solver reaches at several budgets, from one start.

    Args:
        model: an equilibrium network, or a classifier around one; it comes back as it was.
        split: images to attack.
        settings: norm and radius.
        seed: of PGD's starts.

    Returns:
        For each budget ``solver``, ``steps``, mean ``loss`` of the adversarial images, ``accuracy``
        on them, ``cell_calls`` and ``cell_vjps`` an image, counted, and ``unconverged``, the
        fraction of JIIO's attacks that do not stand still in the end.
    """
    rows = [_measured(model, split, settings, "pgd", steps, seed) for steps in PGD_STEPS]
    return rows + [_measured(model, split, settings, "jiio", n, seed) for n in JIIO_ITERATIONS]


def _measured(
    model: nn.Module, split: Split, settings: Evaluation, solver: str, steps: int, seed: int
) -> Row:
    meter = Meter()
    meter.watch(model)
    device = split.labels.device
    draws = torch.Generator(device=device).manual_seed(rng.derive(seed, "attack course", steps))
    loss = torch.zeros((), dtype=torch.float64, device=device)
    right = unconverged = 0
    for batch in in_order(split, BATCH):
        if solver == "pgd":
            images = _pgd(model, batch.images, batch.labels, settings, steps, draws)
        else:
            found = _jointly(model, batch.images, batch.labels, settings, steps)
            images, unconverged = found.images, unconverged + int((~found.converged).sum())
        with meter.pause(), attacked(model), torch.no_grad():
            logits = model(images)
        loss += against(batch.labels)(logits)
        right += int((logits.argmax(dim=1) == batch.labels).sum())
    return {
        "solver": solver,
        "steps": steps,
        "loss": loss.item() / len(split),
        "accuracy": right / len(split),
        "cell_calls": meter.cell_calls / len(split),
        "cell_vjps": meter.cell_vjps / len(split),
        "unconverged": unconverged / len(split),
    }


def _pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    settings: Evaluation,
    steps: int,
    draws: torch.Generator,
) -> Tensor:
    return pgd(
        model,
        images,
        against(labels),
        epsilon=settings.epsilon,
        step_size=REACH * settings.epsilon / steps,
        steps=steps,
        generator=draws,
        norm=settings.norm,
    )


def _jointly(
    model: nn.Module, images: Tensor, labels: Tensor, settings: Evaluation, iterations: int
) -> Crafted:
    return attack_jointly(
        model,
        images,
        labels,
        epsilon=settings.epsilon,
        step_size=FIRST_STEP * settings.epsilon,
        iterations=iterations,
        norm=settings.norm,
    )


def _right(model: nn.Module, split: Split, craft: Any) -> Tensor:
    """Which images are right after an attack, bool [images]."""
    found = []
    for batch in in_order(split, BATCH):
        images = craft(batch.images, batch.labels).images
        with attacked(model), torch.no_grad():
            found.append(model(images).argmax(dim=1) == batch.labels)
    return torch.cat(found)
