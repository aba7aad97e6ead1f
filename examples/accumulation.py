"""Gradient accumulation: one corrected optimizer step for four batches of the loader.

python examples/accumulation.py
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from agc import AGC, GroupedBatches, Step

EPOCHS = 5
Batch = tuple[Tensor, Tensor]


def loss_fn(model: nn.Module, batch: Batch) -> Tensor:
    """Mean loss of one of the small batches."""
    features, labels = batch
    return nn.functional.cross_entropy(model(features), labels)


def main() -> float:
    """Train; the mean loss of the last epoch."""
    torch.manual_seed(0)
    features = torch.randn(512, 32)
    labels = (features @ torch.randn(32, 4)).argmax(dim=1)
    loader = DataLoader(TensorDataset(features, labels), batch_size=16, shuffle=True)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    correction = AGC(model, gamma=0.5)
    step = Step(model, optimizer, loss_fn, correction=correction)
    groups = GroupedBatches(loader, 4)
    for epoch in range(EPOCHS):
        step.begin_epoch(groups)
        losses = [step(group).item() for group in groups]
        mean = sum(losses) / len(losses)
        print(f"epoch {epoch}: loss {mean:.3f}, tau {correction.tau:.2f}")
    return mean


if __name__ == "__main__":
    main()
