"""A sparse network with a corrected gradient in a training loop of one's own.

python examples/own_loop.py
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from agc import AGC, RigL, Step

EPOCHS = 5
Batch = tuple[Tensor, Tensor]


def loss_fn(model: nn.Module, batch: Batch) -> Tensor:
    """Mean loss of a batch; the older point sees the same precision as the present one."""
    features, labels = batch
    with torch.autocast("cpu", torch.bfloat16):
        return nn.functional.cross_entropy(model(features), labels)


def main() -> float:
    """Train; the mean loss of the last epoch."""
    torch.manual_seed(0)
    features = torch.randn(512, 32)
    labels = (features @ torch.randn(32, 4)).argmax(dim=1)
    loader = DataLoader(TensorDataset(features, labels), batch_size=32, shuffle=True)
    model = nn.Sequential(
        nn.Linear(32, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 4)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    total = EPOCHS * len(loader)
    sparse = RigL(model, optimizer, sparsity=0.8, total_steps=total, update_interval=10)
    correction = AGC(model, gamma=1.0, estimator="layer")
    step = Step(model, optimizer, loss_fn, sparse, correction)
    for epoch in range(EPOCHS):
        model.train()
        step.begin_epoch(loader)  # a pass: full gradient, tau, new snapshot
        losses = [step(batch).item() for batch in loader]
        mean = sum(losses) / len(losses)
        print(f"epoch {epoch}: loss {mean:.3f}, tau {correction.tau:.2f}")
    step.end(loader)
    return mean


if __name__ == "__main__":
    main()
