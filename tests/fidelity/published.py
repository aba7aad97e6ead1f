"""The published recipe, stated once more from its description alone.

It imports nothing of the package, and shares no line with it: what is written in ``data/README.md``
is written here a second time, in plain torch and numpy. It is held to the runs that were recorded
from the authors' own code, and then says what that code does where no run was recorded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

LR, MOMENTUM, DECAY, ALPHA, TAU0, EPOCHS, MILESTONE = 0.2, 0.9, 5e-4, 0.3, 0.1, 3, 2
EVERY, RATE, FLOOR = 4, 0.5, 0.005

Tensors = dict[str, Tensor]


def log_probabilities(w: Tensors, buffers: Tensors, x: Tensor) -> Tensor:
    """Of a batch, in training mode: running statistics advance in ``buffers``."""
    if "fc1.weight" in w:
        x = functional.relu(functional.linear(x, w["fc1.weight"], w["fc1.bias"]))
        return functional.log_softmax(functional.linear(x, w["fc2.weight"], w["fc2.bias"]), 1)
    for number, stride in ((1, 1), (2, 2)):
        x = functional.conv2d(x, w[f"conv{number}.weight"], stride=stride, padding=1)
        mean, variance = (buffers[f"bn{number}.running_{of}"] for of in ("mean", "var"))
        affine = w[f"bn{number}.weight"], w[f"bn{number}.bias"]
        x = functional.relu(functional.batch_norm(x, mean, variance, *affine, training=True))
        buffers[f"bn{number}.num_batches_tracked"] += 1
    return functional.log_softmax(
        functional.linear(x.mean((2, 3)), w["fc.weight"], w["fc.bias"]), 1
    )


def loss_and_gradient(w: Tensors, buffers: Tensors, batch: tuple[Tensor, Tensor]) -> Any:
    """Mean negative log likelihood of a batch, and its gradient by name."""
    leaves = {name: value.clone().requires_grad_() for name, value in w.items()}
    loss = functional.nll_loss(log_probabilities(leaves, buffers, batch[0]), batch[1])
    return loss.item(), dict(zip(w, torch.autograd.grad(loss, [*leaves.values()]), strict=True))


def updated(mask: Tensor, weight: Tensor, gradient: Tensor, rate: float) -> Tensor:
    """Drop the share ``rate`` of the active weights, rounded up, by magnitude; grow as many by the
    gradient's magnitude among all that are not kept, those just dropped among them.
    """
    active = int(mask.sum())
    size = weight.abs().where(mask, -1.0).flatten()
    kept = torch.zeros_like(mask).flatten()
    kept[size.argsort(descending=True)[: active - math.ceil(rate * active)]] = True
    slope = gradient.abs().flatten().where(~kept, -1.0)
    kept[slope.argsort(descending=True)[: active - int(kept.sum())]] = True
    return kept.reshape(mask.shape)


def masked(tensors: Tensors, masks: Tensors) -> Tensors:
    """Zero where a mask is not set; what has none stays."""
    return {name: t * masks[name] if name in masks else t for name, t in tensors.items()}


def flat(tensors: Mapping[str, Tensor]) -> NDArray[Any]:
    """All values in a row."""
    return torch.cat([t.flatten() for t in tensors.values()]).numpy()


def recomputed(start: Mapping[str, Any], grows: bool, variant: str, gamma: float) -> dict[str, Any]:
    """A run from a recorded start, as the arrays that a recorded run has.

    Args:
        start: the arrays of ``mlp.npz`` or ``cnn.npz``.
        grows: whether masks change by gradient growth (``rigl``), or are fixed.
        variant: ``plain``, ``asis``, ``zerofix`` or ``allfix``.
        gamma: scale of the coefficient; ``plain`` has no use for it.
    """

    def group(prefix: str, names: Any = None) -> Tensors:
        found = [k.removeprefix(prefix) for k in start if k.startswith(prefix)]
        return {n: torch.from_numpy(start[prefix + n].copy()) for n in (names or found)}

    def batches(order: int) -> list[tuple[Tensor, Tensor]]:
        parts = torch.from_numpy(start["orders"][order].astype(np.int64))
        x, y = torch.from_numpy(start["X"] / 16.0), torch.from_numpy(start["y"].astype(np.int64))
        return [(x[rows], y[rows]) for rows in parts.split(int(start["batch_size"]))]

    dense = group("dense0/", [str(name) for name in start["param_names"]])
    masks, buffers = group("mask0/"), group("buf0/")
    w = masked(dense, masks)
    older = dict(w if variant == "allfix" else dense)
    momentum: Tensors = {}
    leak = {name: torch.zeros_like(value) for name, value in w.items()}
    tau, total, count = TAU0, EPOCHS * len(batches(0)), len(batches(0))
    run: dict[str, Any] = {"tau": [], "train_losses": []}
    steps: dict[str, list[Any]] = {k: [] for k in ("w", "mask", "lr", "death_rate")}
    for epoch in range(EPOCHS):
        lr = LR * (0.1 if epoch >= MILESTONE else 1.0)
        if variant != "plain":
            mean, losses = dict(leak), []
            seen = {n: b.clone() for n, b in buffers.items()} if variant == "allfix" else buffers
            aside = {name: buffer.clone() for name, buffer in buffers.items()}
            for batch in batches(2 * epoch):
                now, gradient = loss_and_gradient(w, seen, batch)
                losses.append((now, loss_and_gradient(older, aside, batch)[0]))
                mean = {name: mean[name] + g for name, g in gradient.items()}
            run[f"u_sum{epoch + 1}"] = flat(mean)
            run[f"loss_curr{epoch + 1}"] = np.array([now for now, _ in losses])
            table = np.cov(np.array(losses).T)
            tau = (1 - ALPHA) * tau + ALPHA * table[0, 1] / table[1, 1]
            run["tau"].append(tau)
            mean, older = {name: u / count for name, u in mean.items()}, dict(w)
        for batch in batches(2 * epoch + 1):
            loss, raw = loss_and_gradient(w, buffers, batch)
            run["train_losses"].append(loss)
            d = raw
            if variant != "plain":
                then = loss_and_gradient(older, aside, batch)[1]
                d = {n: g + gamma * tau * (mean[n] - then[n]) for n, g in raw.items()}
            d = {name: g + DECAY * w[name] for name, g in d.items()}
            momentum = {n: MOMENTUM * momentum[n] + g if momentum else g for n, g in d.items()}
            w = {n: v - lr * (d[n] + MOMENTUM * momentum[n]) for n, v in w.items()}
            w, momentum = masked(w, masks), masked(momentum, masks)
            step = len(steps["w"]) + 1
            rate = FLOOR + (RATE - FLOOR) / 2 * (1 + math.cos(math.pi * step / total))
            if grows and step % EVERY == 0:
                masks = {n: updated(m, w[n], raw[n], rate) for n, m in masks.items()}
                w, momentum = masked(w, masks), masked(momentum, masks)
            for key, value in zip(
                steps, (flat(w), np.packbits(flat(masks)), lr, rate), strict=True
            ):
                steps[key].append(value)
        if variant == "asis":
            leak = raw
        run |= {f"buf{epoch + 1}/{name}": b.clone().numpy() for name, b in buffers.items()}
    run |= {f"step_{key}": np.array(values) for key, values in steps.items()}
    run["train_losses"] = np.array(run["train_losses"]).reshape(EPOCHS, count)
    run |= {"steps": np.arange(total), "momentum": flat(momentum), "tau": np.array(run["tau"])}
    return run
