"""Several processes, one corrected gradient: DistributedDataParallel.

torchrun --nproc_per_node 2 --standalone examples/distributed.py
"""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from agc import AGC, RigL, Step

EPOCHS = 3
Batch = tuple[Tensor, Tensor]


def loss_fn(model: nn.Module, batch: Batch) -> Tensor:
    """Mean loss of this process' share of a batch."""
    features, labels = batch
    return nn.functional.cross_entropy(model(features), labels)


def train() -> list[Tensor]:
    """Train in an initialised process group; weights and masks, the same on all processes."""
    torch.manual_seed(0)
    features = torch.randn(512, 32)
    labels = (features @ torch.randn(32, 4)).argmax(dim=1)
    data = TensorDataset(features, labels)
    sampler = DistributedSampler(data)
    loader = DataLoader(data, batch_size=16, sampler=sampler)
    model = DistributedDataParallel(nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 4)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    total = EPOCHS * len(loader)
    sparse = RigL(model, optimizer, sparsity=0.8, total_steps=total, update_interval=5)
    correction = AGC(model, gamma=0.5)
    step = Step(model, optimizer, loss_fn, sparse, correction)  # all get the wrapped model
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        step.begin_epoch(loader)
        for batch in loader:
            step(batch)
        print(f"process {distributed.get_rank()}, epoch {epoch}: tau {correction.tau:.6f}")
    return [*model.module.state_dict().values(), *sparse.masks.values()]


if __name__ == "__main__":
    distributed.init_process_group("gloo")
    train()
    distributed.destroy_process_group()
