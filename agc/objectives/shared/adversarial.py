"""What objectives share that craft adversarial images with PGD."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from agc.architectures import cell_calls
from agc.attacks.shared.joint_attack import attack_jointly
from agc.attacks.shared.pgd import Ascent, ascended, pgd
from agc.cost.units import Passes
from agc.lazy import torch
from agc.objectives.base import Objective
from agc.objectives.shared.options import (
    BatchNorms,
    Epsilon,
    History,
    Norms,
    Smoothing,
    Solvers,
    Starts,
    Steps,
)

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module

    from agc.datasets.shared.loader import Batch


class AdversarialObjective(Objective):
    """Cross-entropy on images that PGD makes of the batch; base of those that attack.

    Defaults are the settings of the paper's adversarial experiments on colour images.

    Args:
        epsilon: radius, for pixels in [0, 1].
        step_size: of each attack step, in the same norm; of JIIO's first phase.
        steps: number of attack steps, or of JIIO's iterations.
        norm: ``linf`` or ``l2``, which is the length of the change of all pixels of an image.
        start: ``uniform`` in the ball, ``normal`` close to the image, or ``none``.
        batch_norm: ``eval`` attacks the network with its running statistics, ``train`` with those
            of the attacked batch; the running statistics stay as they are in both.
        solver: ``pgd``, or ``jiio`` of an equilibrium network, which starts at the image and moves
            it together with its fixed point (arXiv 2111.13236).
        history: of Anderson's acceleration of JIIO; 1: none.
        label_smoothing: see :class:`Objective`.
        precision: of the cell's training.
    """

    adversarial: ClassVar[bool] = True

    attacks_labels: ClassVar[bool] = True
    """Whether the attack raises the cross-entropy of the labels, as JIIO does."""

    def __init__(
        self,
        *,
        epsilon: Epsilon = 8 / 255,
        step_size: Epsilon = 2 / 255,
        steps: Steps = 10,
        norm: Norms = "linf",
        start: Starts = "uniform",
        batch_norm: BatchNorms = "eval",
        solver: Solvers = "pgd",
        history: History = 1,
        label_smoothing: Smoothing = 0.0,
        precision: str = "float32",
    ) -> None:
        super().__init__(precision=precision, label_smoothing=label_smoothing)
        self.solver = solver
        self.ascend: Ascent = ascended
        """What makes PGD's steps."""
        self.history = history
        self.solved: list[Tensor] = []
        """Of JIIO's attacks since the last :meth:`diagnostics`: what that gives, of each batch."""
        self.settings: dict[str, Any] = {
            "epsilon": epsilon,
            "step_size": step_size,
            "steps": steps,
            "norm": norm,
            "start": start,
            "batch_norm": batch_norm,
        }

    def prepare(self, model: Module, batch: Batch, generator: Generator) -> Batch:
        """Replace the images by adversarial ones; the clean ones stay in ``batch.clean``."""
        images = self.crafted(model, batch.images, batch.labels, generator)
        return batch._replace(images=images, clean=batch.images)

    def crafted(
        self, model: Module, images: Tensor, labels: Tensor, generator: Generator
    ) -> Tensor:
        """Images of the threat model that raise the cross-entropy of their labels."""
        if self.solver == "pgd":
            return self.attack(model, images, against(labels), generator)
        names = ("epsilon", "step_size", "norm")
        settings = {name: self.settings[name] for name in names}
        iterations = self.settings["steps"]
        found = attack_jointly(
            model, images, labels, iterations=iterations, history=self.history, **settings
        )
        shares = (~found.converged).double().mean(), found.failed.double().mean()
        self.solved.append(torch.stack(shares))
        return found.images

    def diagnostics(self) -> dict[str, Tensor]:
        """``attack_unconverged`` and ``attack_failed`` where JIIO attacks: fractions of the images
        attacked since this was asked last.
        """
        if not self.solved:
            return {}
        shares, self.solved = torch.stack(self.solved).mean(dim=0), []
        return dict(zip(("attack_unconverged", "attack_failed"), shares, strict=True))

    def attack(
        self,
        model: Module,
        images: Tensor,
        loss_fn: Callable[[Tensor], Tensor],
        generator: Generator,
    ) -> Tensor:
        """Images of the threat model that raise ``loss_fn`` of their logits, by PGD."""
        return pgd(
            model,
            images,
            loss_fn,
            generator=generator,
            precision=self.precision,
            ascend=self.ascend,
            **self.settings,
        )

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """A radius above 1 is one in units of 255; JIIO attacks labels in equilibrium networks."""
        for name in ("epsilon", "step_size"):
            value = options.get(name, 0)
            if options.get("norm", "linf") == "linf" and value > 1:
                return f"option {name} = {value:g}: pixels are in [0, 1], so it is at most 1"
        if options.get("solver", "pgd") == "pgd":
            return None
        if not cls.attacks_labels:
            return "solver 'jiio' raises the cross-entropy of labels, which this attack does not"
        if cell_calls(cell.architecture) is None:
            return (
                f"solver 'jiio' attacks equilibrium networks, and {cell.architecture.name} is none"
            )
        return None

    @classmethod
    def preparation(cls, *, cell_calls: int | None = None, **options: Any) -> Passes:
        """One forward and one backward pass to the input for each attack step; for each of JIIO's
        iterations one call of the cell, and one product.
        """
        passes = options["steps"]
        if options.get("solver", "pgd") == "jiio":
            passes = passes / cell_calls
        return Passes(forward=passes, input_backward=passes)


def against(labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Cross-entropy with these labels, summed over images, as a function of the logits."""
    return partial(_cross_entropy, labels)


def _cross_entropy(labels: Tensor, logits: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(logits, labels, reduction="sum")


def away_from(reference: Tensor) -> Callable[[Tensor], Tensor]:
    """Divergence from these logits, summed over images, as a function of the logits."""
    return partial(_divergence, reference)


def _divergence(reference: Tensor, logits: Tensor) -> Tensor:
    return divergence(reference, logits).sum()


def divergence(reference: Tensor, logits: Tensor) -> Tensor:
    """KL(softmax(reference) ‖ softmax(logits)) of each image, [N]; both are logits, [N, K]."""
    expected = torch.nn.functional.log_softmax(reference, dim=1)
    found = torch.nn.functional.log_softmax(logits, dim=1)
    return (expected.exp() * (expected - found)).sum(dim=1)
