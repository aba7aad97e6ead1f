"""What the paper's Algorithm 1 and the three published codes of AGENT do differently.

The codes (github.com/StevenBoys/AGENT) are forks of three other projects, each with properties of
its own. Of these the paper (PMLR 234:341-378) has two: the estimate of A-BSR-Net is that of
Algorithm 1, and its pass sees images without the attack (section 4.2, which scales the correction
by γ for it). Algorithm 1 and each code are a class here and each property a method with a name, so
that a grid can tell what they are worth; nothing of it is in the default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from agc import rng
from agc.corrections.shared.correlation import LossCorrelation, make_correlation
from agc.lazy import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor
    from torch.nn import Module

    from agc.corrections.shared.correlation import Average, Bounds, Correlation
    from agc.gradients.reference import ReferencePoint
    from agc.methods.shared.hooks import Method


class Behaviour:
    """The suite's own: the published algorithm without what its codes add by accident."""

    keeps_buffers: ClassVar[bool] = True
    """Whether the snapshot pass leaves BatchNorm's running statistics alone."""

    pass_images: ClassVar[Literal["prepared", "raw"]] = "prepared"
    """What the snapshot pass sees: images as in a step, or neither attacked nor augmented."""

    snapshot_first: ClassVar[bool] = False
    """Whether the new snapshot is taken before τ is estimated."""

    estimators: ClassVar[tuple[str, ...] | None] = None
    """The estimators that it is defined with; None for all."""

    def first_snapshot(
        self, here: Callable[[], ReferencePoint], seed: int, dense: Mapping[str, Tensor] | None
    ) -> ReferencePoint | None:
        """The point that the first pass is compared with; None for the masked initial weights.

        Args:
            here: makes a point at the model's present weights.
            seed: of whatever is drawn.
            dense: all initial weights by name, before any was masked; the model's own if None.
        """
        return None

    def correlation(
        self, estimator: str, alpha: float, tau0: float, clip: Bounds, average: Average
    ) -> Correlation:
        """The estimate of τ."""
        return make_correlation(estimator, alpha, tau0, clip, average)

    def left_over(self, gradient: dict[str, Tensor]) -> dict[str, Tensor]:
        """What of a step's gradient is still there when the next pass begins to add up its own."""
        return {}

    def skips_step(self, sparse: Method | None) -> bool:
        """Whether the optimizer makes no step now."""
        return False


class Algorithm1(Behaviour):
    """Algorithm 1 as it is printed: no code of its authors.

    τ is 0 at first and is not estimated before the first epoch, which is therefore plain. From the
    second on the new snapshot is taken before the losses are compared, so they are those of one
    and the same point, and every estimate is 1: γτ = γ (1 - (1 - α)^e) in epoch e, counted from 0.
    Running statistics and images are those of the default.
    """

    snapshot_first = True
    estimators = ("loss",)

    def correlation(
        self, estimator: str, alpha: float, tau0: float, clip: Bounds, average: Average
    ) -> Correlation:
        """c₀ = 0 and "if t > 0": the losses of the first pass are not used."""
        return FromSecondPass(alpha, 0.0, clip, average)


class FromSecondPass(LossCorrelation):
    """The estimate from losses, without the one of the first pass."""

    state = ("passes",)
    passes = 0

    def end_epoch(self) -> None:
        """Smooth by the estimate of the pass, but for the first."""
        self.passes += 1
        if self.passes == 1:
            self.losses = []
        super().end_epoch()


class AITOP(Behaviour):
    """A-ITOP, a fork of ITOP: its running statistics advance twice an epoch."""

    keeps_buffers = False

    def first_snapshot(
        self, here: Callable[[], ReferencePoint], seed: int, dense: Mapping[str, Tensor] | None
    ) -> ReferencePoint:
        """The network is copied before the masks are applied: a dense one."""
        return _at(here(), dense)

    def left_over(self, gradient: dict[str, Tensor]) -> dict[str, Tensor]:
        """All of it: ``zero_grad`` before the pass is commented out."""
        return {name: g.clone() for name, g in gradient.items()}


class ARigL(Behaviour):
    """A-RigL, a fork of rigl-reproducibility: its running statistics advance twice an epoch."""

    keeps_buffers = False

    def first_snapshot(
        self, here: Callable[[], ReferencePoint], seed: int, dense: Mapping[str, Tensor] | None
    ) -> ReferencePoint:
        """A second network, with initial weights of its own."""
        point = _at(here(), dense)
        # What is drawn into the lent values is no change of the model's own.
        uncounted = torch.autograd.grad_mode._unsafe_preserve_version_counter
        with point.lent() as weights, uncounted(tuple(weights.values())):
            fresh_weights(point.model, seed)
        return point

    def skips_step(self, sparse: Method | None) -> bool:
        """Where the topology is updated, the optimizer makes no step."""
        return sparse is not None and sparse.due_at(sparse.steps + 1)


class ABSR(Behaviour):
    """A-BSR-Net, a fork of BSR-Net: its running statistics advance twice an epoch, and its pass
    sees the stored images.
    """

    keeps_buffers = False
    pass_images = "raw"

    def correlation(
        self, estimator: str, alpha: float, tau0: float, clip: Bounds, average: Average
    ) -> Correlation:
        """τ starts at 0, and the losses are those of one and the same point."""
        if estimator == "loss":
            return SamePoint(alpha, 0.0, clip, average)
        return super().correlation(estimator, alpha, 0.0, clip, average)


class SamePoint(LossCorrelation):
    """A-BSR-Net copies the network right before its losses are compared with the copy's, so every
    estimate is 1: τ = 1 - (1 - α)^e in epoch e, counted from 0, whatever the losses are.
    """

    state = ("epochs",)
    epochs = 0

    def end_epoch(self) -> None:
        """Smooth by 1, but for the first epoch."""
        self.losses = []
        self.epochs += 1
        if self.epochs > 1:
            self.tau = (1 - self.alpha) * self.tau + self.alpha


def _at(point: ReferencePoint, dense: Mapping[str, Tensor] | None) -> ReferencePoint:
    """The point with these weights, if they are given."""
    for name in point.values.keys() & (dense or {}).keys():
        point.values[name].copy_(dense[name])
    return point


BEHAVIOURS: dict[str, type[Behaviour]] = {
    "corrected": Behaviour,
    "algorithm-1": Algorithm1,
    "a-itop": AITOP,
    "a-rigl": ARigL,
    "a-bsr": ABSR,
}


def fresh_weights(model: Module, seed: int) -> Module:
    """Initialise every layer of ``model`` anew, from ``seed``; returns the same model."""
    with rng.isolated_everywhere(rng.derive(seed, "second initial weights")):
        for module in model.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return model
