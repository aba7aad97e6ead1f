"""The objects that training a cell works with."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torch.optim import Optimizer

from agc.communication.base import Communication
from agc.corrections.base import Correction
from agc.cost.flops import LayerFlops
from agc.cost.ledger import Ledger
from agc.cost.meter import Meter
from agc.datasets.base import Split
from agc.datasets.shared.loader import Loader
from agc.gradients.gradient import LossFunction
from agc.grids.cell import Cell
from agc.methods.base import SparseMethod
from agc.objectives.base import Objective
from agc.quantization.base import Quantization
from agc.training.schedule import Schedule
from agc.training.step import Step


@dataclass
class Run:
    """Everything that training a cell needs, on one device.

    Attributes:
        wrapped: what a step's forward pass goes through: the model, or DistributedDataParallel
            around it where several processes train it together.
        step: all of these at work, in the right order.
        noisy: whether the network draws random numbers in a pass in training mode.
    """

    cell: Cell
    model: nn.Module
    wrapped: nn.Module
    loader: Loader
    validation: Split
    test: Split
    objective: Objective
    loss_fn: LossFunction
    optimizer: Optimizer
    schedule: Schedule
    method: SparseMethod
    correction: Correction
    quantization: Quantization
    communication: Communication
    meter: Meter
    flops: LayerFlops
    ledger: Ledger
    step: Step
    noisy: bool
