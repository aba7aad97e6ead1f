"""Loss and accuracy on clean images."""

from __future__ import annotations

import torch
from torch import nn

from agc.datasets.base import Split
from agc.datasets.shared.loader import in_order
from agc.gradients.modes import evaluating
from agc.machine.memory import with_smaller_batches

BATCH = 1024
"""Images per forward pass of an evaluation; no number depends on it but rounding."""


@torch.no_grad()
def evaluate_clean(model: nn.Module, split: Split) -> tuple[float, float]:
    """Mean cross-entropy and accuracy (a fraction) in evaluation mode; modes are put back."""

    def evaluate(size: int) -> tuple[float, float]:
        loss = torch.zeros((), dtype=torch.float64, device=split.labels.device)
        correct = torch.zeros((), dtype=torch.int64, device=split.labels.device)
        for batch in in_order(split, size):
            logits = model(batch.images).float()
            loss += nn.functional.cross_entropy(logits, batch.labels, reduction="sum")
            correct += (logits.argmax(dim=1) == batch.labels).sum()
        return loss.item() / len(split), correct.item() / len(split)

    with evaluating(model):
        return with_smaller_batches(evaluate, BATCH)
