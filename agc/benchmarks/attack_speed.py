"""How fast the training's attack is, beside torchattacks', on the same network and images."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from agc import rng
from agc.architectures.base import build_classifier
from agc.attacks.shared.pgd import pgd
from agc.datasets.shared.checked import load
from agc.datasets.shared.loader import in_order
from agc.errors import UserError
from agc.gradients.autocast import autocast
from agc.objectives.shared.adversarial import against

EPSILON, STEP_SIZE = 8 / 255, 2 / 255


def measure(
    dataset: str,
    architecture: str,
    batch: int,
    steps: int,
    rounds: int,
    precision: str,
    channels_last: bool,
    device: str,
) -> dict[str, Any]:
    """Median speed over ``rounds``, in which the attacks take turns.

    The network is in training mode with trainable weights, as in the training loop.

    Returns:
        ``images_per_second`` by attack, and ``ratio`` of ours to torchattacks'.

    Raises:
        UserError: an unknown name or precision, or torchattacks is not installed.
    """
    if precision not in ("float32", "bfloat16"):
        raise UserError(f"precision {precision!r}: float32 or bfloat16")
    data = load(dataset, {})
    model = build_classifier(architecture, {}, data, 0).to(device).train()
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    given = next(in_order(data.train[:batch].to(device), batch))
    images, labels = given.images, given.labels
    generator = rng.generator(0, "speed", device=device)

    def own() -> Tensor:
        return pgd(
            model,
            images,
            against(labels),
            epsilon=EPSILON,
            step_size=STEP_SIZE,
            steps=steps,
            generator=generator,
            precision=precision,
        )

    attacks = {"agc": own, "torchattacks": _library(model, images, labels, steps, precision)}
    times: dict[str, list[float]] = {name: [] for name in attacks}
    with rng.isolated(0):
        for number in range(rounds + 1):
            for name, attack in attacks.items():
                seconds = _timed(attack, device)
                if number:  # the first round warms up
                    times[name].append(seconds)
    speeds = {name: len(images) / median(taken) for name, taken in times.items()}
    return {"images_per_second": speeds, "ratio": speeds["agc"] / speeds["torchattacks"]}


def _library(
    model: nn.Module, images: Tensor, labels: Tensor, steps: int, precision: str
) -> Callable[[], Tensor]:
    try:
        from torchattacks import PGD
    except ModuleNotFoundError as error:
        raise UserError(
            "the comparison needs torchattacks: pip install --no-deps torchattacks==3.5.1"
        ) from error
    attack = PGD(model, eps=EPSILON, alpha=STEP_SIZE, steps=steps, random_start=True)

    def run() -> Tensor:
        with autocast(images, precision):
            return attack(images, labels)

    return run


def _timed(attack: Callable[[], Tensor], device: str) -> float:
    """Seconds until the device is done."""
    _wait(device)
    begin = time.perf_counter()
    attack()
    _wait(device)
    return time.perf_counter() - begin


def _wait(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
