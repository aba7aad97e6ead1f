"""What an attack is, and the fence that keeps attack libraries from touching anything."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

from agc import rng
from agc.attacks.shared.pgd import pgd
from agc.attacks.shared.threat import BALLS, Norm
from agc.lazy import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from torch.nn import Module

ROUNDING = 1e-5
"""How far attacks in single precision may leave the ball, relative to its radius, plus 1e-6."""


@dataclass(frozen=True)
class Threat:
    """How far an attack may go; ``epsilon`` for pixels in [0, 1]."""

    norm: Norm
    epsilon: float

    @property
    def name(self) -> str:
        """The norm as attack libraries write it."""
        return {"linf": "Linf", "l2": "L2"}[self.norm]

    def contains(self, images: Tensor, points: Tensor) -> Tensor:
        """Which of ``points`` are images in [0, 1] in the ball around ``images``, bool [N]."""
        distance = BALLS[self.norm](images, self.epsilon).distance(points)
        flat = points.flatten(1)
        valid = (flat.amin(dim=1) >= -1e-6) & (flat.amax(dim=1) <= 1 + 1e-6)
        return valid & (distance <= self.epsilon * (1 + ROUNDING) + 1e-6)


class Attack:
    """Crafts images that a network gets wrong; base of the entries.

    An entry's keyword-only arguments are its options.
    """

    library: ClassVar[str | None] = None
    """Distribution that does the work, if it is not the suite."""

    extra: ClassVar[str | None] = None
    """The suite's extra that installs it."""

    restarts: int = 1
    """How often it is run, each time with another seed; the worst of them counts."""

    equilibrium: ClassVar[bool] = False
    """Whether it attacks equilibrium networks alone."""

    bounded: ClassVar[bool] = True
    """Whether what it crafts must be in the ball; else what is not there has no effect."""

    def craft(self, model: Module, images: Tensor, labels: Tensor, threat: Threat) -> Tensor:
        """Adversarial versions of ``images``, [N, C, H, W]; may draw from the global generators.

        Called within :func:`fenced`, with images that ``model`` gets right.
        """
        raise NotImplementedError

    def refuse(self, threat: Threat, classes: int) -> str | None:
        """Why it cannot attack such a network, or None; asked before anything runs."""
        if self.library is not None and find_spec(self.library) is None:
            return f"it needs {self.library}: pip install 'agc-bench[{self.extra}]'"
        return None


@contextmanager
def fenced(model: Module, seed: int) -> Iterator[Module]:
    """A copy of ``model`` for an attack, which can neither reach the model nor a random stream.

    Attack libraries reset global generators, leave gradients on parameters, forget the modes of
    submodules, and fail on channels-last tensors and under autocast. The copy is contiguous, in
    evaluation mode, with frozen parameters; autocast is off and gradients are on. Torch's global
    generators are seeded, and they, Python's and NumPy's come back as they were.
    """
    import numpy as np

    device = next(model.parameters()).device.type
    python, numpy = random.getstate(), np.random.get_state()
    try:
        off = torch.autocast(device, enabled=False)
        with rng.isolated(seed), torch.inference_mode(False), torch.enable_grad(), off:
            clone = copy.deepcopy(model).to(memory_format=torch.contiguous_format).eval()
            clone.requires_grad_(False)
            clone.zero_grad(set_to_none=True)
            yield clone
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def outcomes(
    attack: Attack, model: Module, images: Tensor, labels: Tensor, threat: Threat, seed: int
) -> Tensor:
    """Which images the network still gets right after the attack, bool [N].

    Raises:
        RuntimeError: the attack left its threat model, which is an error of the attack.
    """
    with fenced(model, seed) as clone:
        crafted = attack.craft(clone, images.contiguous(), labels, threat).detach()
        inside = threat.contains(images, crafted)
        if attack.bounded and not inside.all():
            worst = BALLS[threat.norm](images, threat.epsilon).distance(crafted).max().item()
            raise RuntimeError(
                f"{type(attack).__name__} left the ball: distance {worst:g}, "
                f"radius {threat.epsilon:g}, pixels from {crafted.min():g} to {crafted.max():g}"
            )
        with torch.no_grad():
            held = clone(crafted).argmax(dim=1) == labels
    return held | ~inside


class OwnPGD(Attack):
    """The suite's projected gradient ascent; base of what differs in loss, steps and start."""

    steps: int = 20
    random_start: ClassVar[bool] = True

    def craft(self, model: Module, images: Tensor, labels: Tensor, threat: Threat) -> Tensor:
        """Ascend from one start."""
        device = images.device
        seed = int(torch.randint(2**62, ()).item())
        return pgd(
            model,
            images,
            self.loss(labels),
            epsilon=threat.epsilon,
            step_size=self.step_size(threat),
            steps=self.steps,
            generator=torch.Generator(device=device).manual_seed(seed),
            norm=threat.norm,
            start="uniform" if self.random_start else "none",
        )

    def step_size(self, threat: Threat) -> float:
        """Length of a step."""
        return threat.epsilon / 4

    def loss(self, labels: Tensor) -> Callable[[Tensor], Tensor]:
        """What is raised, as a function of the logits."""
        return lambda logits: torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
