"""What the three published codes of AGENT do differently, behaviour by behaviour.

They are forks of three other projects, each with properties of its own. Everything here is named,
so that a grid can tell what each of them is worth; nothing of it is in the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from agc import rng

if TYPE_CHECKING:
    from torch.nn import Module


@dataclass(frozen=True)
class Behaviour:
    """One published code, or ours.

    Attributes:
        first_snapshot: the initial weights, ``masked`` or still ``dense``, or an ``independent``
            initialisation; decides the first estimate of τ.
        leaks: the last step's gradient stays in the sum that becomes u.
        keeps_buffers: the snapshot pass leaves BatchNorm's running statistics alone; else they
            advance twice an epoch.
        images: what the snapshot pass sees; ``raw`` images are neither attacked nor augmented.
        certain: the compared points are the same by mistake, so every estimate of τ is 1; it is
            0 in the first epoch.
        skips_update_steps: no optimizer step where the topology is updated.
    """

    first_snapshot: Literal["masked", "dense", "independent"] = "masked"
    leaks: bool = False
    keeps_buffers: bool = True
    images: Literal["prepared", "clean", "raw"] = "prepared"
    certain: bool = False
    skips_update_steps: bool = False


BEHAVIOURS = {
    "corrected": Behaviour(),
    "a-itop": Behaviour(first_snapshot="dense", leaks=True, keeps_buffers=False),
    "a-rigl": Behaviour(first_snapshot="independent", keeps_buffers=False, skips_update_steps=True),
    "a-bsr": Behaviour(keeps_buffers=False, images="raw", certain=True),
}


def fresh_weights(model: Module, seed: int) -> Module:
    """Initialise every layer of ``model`` anew, from ``seed``; returns the same model."""
    with rng.isolated(rng.derive(seed, "second initial weights")):
        for module in model.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return model
