"""Latents of an equilibrium decoder by JIIO: decoding images, and filling in what is hidden.

The decoder is a fixed point z = tanh(W z + U x + b) of a latent x, and an image C z + c of that.
An image's latent is the input that minimises the error of its reconstruction; JIIO finds both
together. Training takes turns: latents of a batch, then a step of the weights, whose gradient at
the latents is that of the smallest error (arXiv 2111.13236, with squared errors and our cell).

    python examples/latents.py
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from agc.architectures.deq_tiny import LinearCell
from agc.architectures.shared.fixed_point import solve
from agc.attacks.shared.jiio import solve_jointly

LATENTS, UNITS, PIXELS = 8, 48, 64
CALLS, RIDGE = 24, 0.01


class Decoder(nn.Module):
    """Latents [N, LATENTS] to images [N, PIXELS]."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = LinearCell(UNITS)
        self.injection = nn.Linear(LATENTS, UNITS)
        self.image = nn.Linear(UNITS, PIXELS)

    def forward(self, latents: Tensor) -> Tensor:
        """The image at the fixed point, with the implicit gradient."""
        rest = latents.new_zeros(len(latents), UNITS)
        return self.image(solve(self.cell, rest, self.injection(latents), CALLS))

    def latents(self, images: Tensor, known: Tensor) -> Tensor:
        """Those whose images are closest in the pixels that are known."""

        def equation(x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            errors = known * (self.image(state) - images)
            costs = errors.square().sum(dim=1) + RIDGE * x.square().sum(dim=1)
            return self.cell(state, self.injection(x)), costs / 2

        start = images.new_zeros(len(images), LATENTS)
        rest = images.new_zeros(len(images), UNITS)
        settings = {"step_sizes": (0.1, 0.1), "iterations": 60, "history": 5}
        return solve_jointly(equation, start, rest, **settings).x


def main(epochs: int = 4) -> dict[str, float]:
    """Train; errors on images that were not trained on, relative to those of the mean image."""
    torch.manual_seed(0)
    images = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    train, test = images[:1280], images[1280:]
    decoder, everything = Decoder(), torch.ones(PIXELS)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=3e-3)
    for _ in range(epochs):
        for batch in train[torch.randperm(len(train))].split(64):
            latents = decoder.latents(batch, everything)
            optimizer.zero_grad()
            (decoder(latents) - batch).square().sum(dim=1).mean().backward()
            optimizer.step()
            decoder.cell.contract(0.95)
    hidden = torch.rand(PIXELS) < 0.5
    found = {}
    for name, left_out in (("decoding", torch.zeros(PIXELS).bool()), ("inpainting", hidden)):
        judged = left_out if left_out.any() else ~left_out
        with torch.no_grad():
            error = (decoder(decoder.latents(test, 1.0 - left_out.float())) - test)[:, judged]
            usual = (train.mean(dim=0) - test)[:, judged]
        found[name] = (error.square().mean() / usual.square().mean()).item()
        print(f"{name}: {found[name]:.2f} of the mean image's error")
    return found


if __name__ == "__main__":
    main()
