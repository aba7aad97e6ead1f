"""Adaptive gradient correction (AGC; its authors call the method AGENT).

Lei et al., CPAL 2024, PMLR 234:341-378, arXiv 2301.03573.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from agc.corrections.shared.official import BEHAVIOURS
from agc.corrections.shared.stored import Gigabytes, Stored
from agc.cost.units import Cost
from agc.gradients.gradient import loss_and_gradient
from agc.gradients.lists import subtract
from agc.gradients.micro_batches import FirstBatches, parts
from agc.lazy import torch
from agc.registry import CORRECTIONS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from agc.gradients.gradient import LossFunction

Variant = Literal["corrected", "algorithm-1", "a-itop", "a-rigl", "a-bsr"]
Estimator = Literal["loss", "gradient", "layer", "online"]


@CORRECTIONS.register("agc", source="PMLR 234:341-378, arXiv 2301.03573")
class AGC(Stored):
    """Gradient correction (AGC): g + γτ (u - q).

    g is the minibatch gradient, q the same batch's gradient at the snapshot (the weights at the
    epoch's start), and u the full gradient there, so the correction has mean zero and the
    corrected gradient stays unbiased. τ estimates the correlation of present and older gradients,
    smoothed over epochs with the forgetting factor α.

    ``variant="corrected"`` departs from the official code where that is biased or leaks: the first
    snapshot is the masked initial weights, no stale gradient enters u, the pass leaves the model's
    buffers alone and sees the same kind of images as the steps. ``algorithm-1`` is what the paper
    prints: no correction in the first epoch, and the new snapshot before the estimate, which is 1
    then, so that τ = 1 - (1 - α)^e in epoch e, counted from 0. ``a-itop``, ``a-rigl`` and ``a-bsr``
    are the three published codes as they are (:mod:`agc.corrections.shared.official`).
    With the official estimator an epoch costs 10 units a batch instead of 3.

    Args:
        gamma: scale γ of the coefficient; the official default is 0.1.
        alpha: forgetting factor α, weight of the newest estimate of τ.
        tau0: τ before the first estimate; 0 by definition in ``algorithm-1`` and ``a-bsr``.
        variant: which published behaviour to follow.
        estimator: ``loss`` is the official one, of the losses at two points an epoch apart.
            ``gradient`` and ``layer`` regress g on q within the training pass, for all tensors
            together or each by itself, at no extra pass; ``online`` does so with a memory of five
            steps or so, and starts at 1 with each snapshot: it follows the snapshot's age.
        clip: bounds of τ, or null.
        full_gradient: u from a full ``pass``, or from a ``subset`` of it.
        subset: fraction of the batches that the subset has.
        match_objective: whether the pass sees adversarial images if the steps do.
        store: gigabytes for gradients of the pass, which are q of the steps where augmentation is
            locked: 7 units a batch instead of 10; 0 keeps none.
        seed: of what ``a-rigl`` draws.
        dense: all initial weights by name, before any was masked, which ``a-itop`` begins at.
            Without them it must be made before the method is, as it takes the model's.
    """

    off: ClassVar[dict[str, Any] | None] = {"gamma": 0.0}
    state = ("correlation", "last_gradient")
    by_parameter = ("last_gradient",)
    made_with: ClassVar[dict[str, str] | None] = {"variant": "variant", "estimator": "estimator"}
    repeatable = False

    def __init__(
        self,
        model: Module,
        *,
        gamma: Annotated[float, Field(ge=0)] = 0.1,
        alpha: Annotated[float, Field(ge=0, le=1)] = 0.3,
        tau0: float = 0.1,
        variant: Variant = "corrected",
        estimator: Estimator = "loss",
        clip: tuple[float, float] | None = None,
        full_gradient: Literal["pass", "subset"] = "pass",
        subset: Annotated[float, Field(gt=0, le=1)] = 0.25,
        match_objective: bool = True,
        store: Gigabytes = 0.0,
        seed: int = 0,
        dense: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(model, store=store)
        if variant not in BEHAVIOURS:
            raise ValueError(f"unknown variant {variant!r} of agc (known: {', '.join(BEHAVIOURS)})")
        self.variant, self.estimator = variant, estimator
        self.behaviour = BEHAVIOURS[variant]()
        if reason := _undefined(variant, estimator):
            raise ValueError(reason)
        self.keeps_buffers = self.behaviour.keeps_buffers
        self.pass_images = self.behaviour.pass_images if match_objective else "clean"
        self.gamma = gamma
        self.share = {"pass": None, "subset": subset}[full_gradient]
        self.correlation = self.behaviour.correlation(
            estimator, alpha, tau0, clip, self.replicas.mean
        )
        self.reference = self.behaviour.first_snapshot(self.point_here, seed, dense)
        self.last_gradient: dict[str, Tensor] = {}
        self.by_worker = _of_one_worker(variant, estimator) is None

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """A variant without this estimator, either of them with several workers, and a store that
        would not do.
        """
        # Relatives inherit this and have no variants.
        variant, estimator = options.get("variant", "corrected"), options["estimator"]
        if reason := _undefined(variant, estimator):
            return reason
        several = cls.by_worker and cell.communication.name != "none"
        if several and (reason := _of_one_worker(variant, estimator)):
            return reason
        if options.get("store") and options["full_gradient"] == "subset":
            return "store needs the gradients of all batches, and full_gradient is that of a subset"
        return super().refuse(cell, **options, pass_images=BEHAVIOURS[variant].pass_images)

    def begin_epoch(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Full gradient u at the present weights, τ, new snapshot.

        The paper's Algorithm 1 prints the new snapshot before τ, so that losses of one point are
        compared (``algorithm-1``). Here, as in two of the published codes, it is the older
        snapshot's losses.

        Raises:
            ValueError: ``batches`` is empty.
        """
        if self.reference is None or self.behaviour.snapshot_first:
            self.move_reference()
        if self.share is not None:
            batches = FirstBatches(batches, ceil(self.share * len(batches)))
        self.mean = self.mean_gradient(batches, loss_fn)  # u
        self.correlation.end_epoch()  # τ ← (1 - α) τ + α Cov(l, l') / Var(l')
        if not self.behaviour.snapshot_first:
            self.move_reference()  # q comes from here on

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """g + γτ (u - q).

        Raises:
            RuntimeError: no epoch has begun.
        """
        if self.behaviour.skips_step(self.sparse):
            for parameter in self.parameters.values():
                parameter.grad = None
            return
        if self.scale.overflowed(self.gradients().values()):
            return
        gradient = self.whole_gradient()
        self.last_gradient = self.behaviour.left_over(gradient)
        difference = self.difference(batch, loss_fn)
        with torch.no_grad():
            # The coefficient of this step must not know this step's gradient, or bias comes in.
            coefficients = self.coefficients()
            if self.correlation.compares == "gradients":
                self.correlation.observe(self.centred(gradient), difference)
            self.add(difference, coefficients)

    def pass_gradient(self, batch: Any, loss_fn: LossFunction) -> dict[str, Tensor]:
        """Gradient at the present weights, whose losses are compared with the snapshot's."""
        now, gradient = loss_and_gradient(self.passes, self.parameters, batch, loss_fn, self.scale)
        if self.correlation.compares == "losses":
            with self.noise.replayed(len(parts(batch))):
                then = self.reference.loss(batch, loss_fn)
            self.correlation.observe({"loss": now}, {"loss": then})
        return self.kept(batch, gradient)

    def start_of_sum(self) -> dict[str, Tensor]:
        """Zeros, or what a published code has left there."""
        return super().start_of_sum() | {n: g.clone() for n, g in self.last_gradient.items()}

    def centred(self, gradient: dict[str, Tensor]) -> dict[str, Tensor]:
        """u - g."""
        names = [name for name in self.mean if name in gradient]
        found = subtract([self.mean[n] for n in names], [gradient[n] for n in names])
        return dict(zip(names, found, strict=True))

    @property
    def tau(self) -> float:
        """τ, the correlation of present and older gradients (a mean if it differs by tensor)."""
        return self.correlation.mean()

    @property
    def coefficient(self) -> float:
        """γτ, the weight of the correction."""
        return self.gamma * self.tau

    def coefficients(self) -> Mapping[str, float | Tensor]:
        """γτ of each tensor, without waiting for the device."""
        return self.correlation.scaled(self.gamma, list(self.parameters))

    def diagnostics(self) -> dict[str, float]:
        """τ and the coefficient γτ."""
        return {"tau": self.tau, "coefficient": self.coefficient}

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """Pass: gradient (3) and, for the official estimator, older loss (1); step: 3 more, unless
        they are stored.
        """
        share = options["subset"] if options["full_gradient"] == "subset" else 1.0
        units = 4 if options["estimator"] == "loss" else 3
        images = BEHAVIOURS[options["variant"]].pass_images
        attacked = images == "prepared" and options["match_objective"]
        step = super().cost(**options).step
        return Cost(step=step, snapshot=share * units, prepared_pass=share * attacked, tensors=2)


def _undefined(variant: str, estimator: str) -> str | None:
    """Why a variant makes no sense with an estimator, or None."""
    known = BEHAVIOURS[variant].estimators
    if known is None or estimator in known:
        return None
    return (
        f"variant {variant!r} of agc has no estimator {estimator!r}: it compares losses"
        f" (use estimator {' or '.join(map(repr, known))}, or another variant)"
    )


def _of_one_worker(variant: str, estimator: str) -> str | None:
    """Why several workers cannot each correct the gradient of their share, or None."""
    if estimator != "loss":
        return (
            f"estimator {estimator!r} of agc regresses the gradients of a step, of which several "
            "workers have several (use estimator 'loss')"
        )
    if not BEHAVIOURS[variant].keeps_buffers:
        return f"variant {variant!r} of agc is a published code's, which has one worker"
    return None
