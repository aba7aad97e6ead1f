"""AutoAttack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.attacks.apgd_t import FEWEST
from agc.attacks.base import Attack, Threat
from agc.lazy import torch
from agc.registry import ATTACKS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


@ATTACKS.register("autoattack", source="arXiv 2003.01690")
class StandardAutoAttack(Attack):
    """The standard version by pyautoattack: APGD-CE, APGD-T and FAB-T of 100 steps, Square of 5000.

    torchattacks has a class of that name whose parts run 10 steps; it is not used here, as its
    numbers are not AutoAttack's.
    """

    library = "pyautoattack"
    extra = "autoattack"

    def craft(self, model: Module, images: Tensor, labels: Tensor, threat: Threat) -> Tensor:
        """Each part attacks what the parts before it have left."""
        from pyautoattack import AutoAttack

        with torch.no_grad():
            targets = min(model(images[:1]).shape[1] - 1, 9)
        seed = int(torch.randint(2**31, ()).item())
        attack = AutoAttack(
            model,
            norm=threat.name,
            eps=threat.epsilon,
            seed=seed,
            version="standard",
            device=images.device,
        )
        attack.apgd_targeted.n_target_classes = targets
        attack.fab.n_target_classes = targets
        crafted, _ = attack.run_standard_evaluation(images, labels, batch_size=len(images))
        return crafted

    def refuse(self, threat: Threat, classes: int) -> str | None:
        """The ratio of APGD-T compares the four largest logits."""
        few = f"it needs {FEWEST} classes, there are {classes}" if classes < FEWEST else None
        return few or super().refuse(threat, classes)
