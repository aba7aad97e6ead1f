"""What MetaGrad makes of a quantised gradient: a small network of each coordinate by itself."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Form = Literal["multiply", "add", "gain", "none"]


class Hypernetwork(nn.Module):
    """The refined gradient of quantised ones Q and the weights w that they are of.

    ``multiply``: Q (1 + tanh h), ``add``: Q + tanh(h) rms(Q), with h of Q / rms(Q) and w / rms(w);
    ``gain``: (1 + κ) Q with one number κ, the control that can change the learning rate and nothing
    else. All of them begin as Q itself. A form without bound on what it adds diverges.

    Args:
        form: which one.
        hidden: units of the layer within h.
    """

    def __init__(self, form: Form, hidden: int) -> None:
        super().__init__()
        self.form = form
        if form == "gain":
            self.gain = nn.Parameter(torch.zeros(()))
        else:
            self.within = nn.Linear(2, hidden)
            self.out = nn.Linear(hidden, 1)
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)

    def forward(self, gradient: Tensor, scale: Tensor, weight: Tensor) -> Tensor:
        """Coordinates [A], all of them.

        Args:
            gradient: Q.
            scale: rms(Q) of the layer of each coordinate.
            weight: w / rms(w), of the layer as well.
        """
        if self.form == "gain":
            return gradient * (1 + self.gain)
        inputs = torch.stack([gradient / scale, weight], dim=1)
        bounded = self.out(self.within(inputs).relu()).squeeze(1).tanh()
        return gradient + bounded * (gradient if self.form == "multiply" else scale)
