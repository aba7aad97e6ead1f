"""Meta-learning with JIIO: a task is what is injected into an equilibrium network.

Each task is a sine of its own amplitude and phase, told by ten points. The network's fixed point
z = tanh(W z + u t + V x + b) at a place t depends on the task's x, which minimises the error at the
ten points: JIIO finds it together with the fixed points there. The weights take the gradient of the
error at other points with x held fixed, the first-order approximation (arXiv 2111.13236 solves
tasks so; sines and sizes are ours).

    python examples/meta_learning.py
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from agc.architectures.deq_tiny import LinearCell
from agc.architectures.shared.fixed_point import solve
from agc.attacks.shared.jiio import solve_jointly

UNITS, CONTEXT, POINTS, TASKS, CALLS = 40, 6, 10, 25, 16


class Network(nn.Module):
    """Places [T, P] of tasks x [T, CONTEXT] to values [T, P]."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = LinearCell(UNITS)
        self.place = nn.Linear(1, UNITS)
        self.task = nn.Linear(CONTEXT, UNITS, bias=False)
        self.value = nn.Linear(UNITS, 1)

    def inject(self, places: Tensor, x: Tensor) -> Tensor:
        """What each point adds to its state, [T * P, UNITS]."""
        return (self.place(places[:, :, None]) + self.task(x)[:, None]).flatten(0, 1)

    def values(self, states: Tensor, places: Tensor) -> Tensor:
        """Of states [T * P, UNITS]."""
        return self.value(states).reshape(places.shape)

    def forward(self, places: Tensor, x: Tensor) -> Tensor:
        """Values at the fixed points, with the implicit gradient."""
        rest = places.new_zeros(places.numel(), UNITS)
        return self.values(solve(self.cell, rest, self.inject(places, x), CALLS), places)

    def adapted(self, places: Tensor, wanted: Tensor) -> Tensor:
        """The x of each task that has the smallest error at these points."""

        def equation(x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            states = state.reshape(-1, UNITS)
            errors = (self.values(states, places) - wanted).square().mean(dim=1)
            return self.cell(states, self.inject(places, x)).reshape(state.shape), errors

        start = places.new_zeros(len(places), CONTEXT)
        rest = places.new_zeros(len(places), places.shape[1] * UNITS)
        settings = {"step_sizes": (0.3, 0.3), "iterations": 30, "history": 3}
        return solve_jointly(equation, start, rest, **settings).x


def tasks() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Places and values to learn from, and others to be judged by, of random tasks."""
    amplitude, phase = 0.5 + torch.rand(TASKS, 1), math.pi * torch.rand(TASKS, 1)
    places = 4 * torch.rand(2, TASKS, POINTS) - 2
    values = amplitude * torch.sin(2 * places + phase)
    return places[0], values[0], places[1], values[1]


def main(steps: int = 200) -> float:
    """Train; the error at new points of new tasks, relative to that without their ten points."""
    torch.manual_seed(0)
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(steps):
        shown, told, asked, wanted = tasks()
        x = network.adapted(shown, told)
        optimizer.zero_grad()
        (network(asked, x) - wanted).square().mean().backward()
        optimizer.step()
        network.cell.contract(0.95)
    shown, told, asked, wanted = tasks()
    with torch.no_grad():
        x = network.adapted(shown, told)
        errors = [(network(asked, y) - wanted).square().mean() for y in (x, torch.zeros_like(x))]
    print(f"error after ten points: {errors[0] / errors[1]:.2f} of that before")
    return (errors[0] / errors[1]).item()


if __name__ == "__main__":
    main()
