"""Adaptive gradient correction (AGC; its authors call the method AGENT), arXiv 2301.03573."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from agc.corrections.shared.control_variate import ControlVariate
from agc.corrections.shared.correlation import LossCorrelation, make_correlation
from agc.corrections.shared.official import BEHAVIOURS, fresh_weights
from agc.cost.units import Cost
from agc.gradients.gradient import loss_and_gradient
from agc.gradients.micro_batches import parts
from agc.gradients.reference import ReferencePoint
from agc.lazy import torch
from agc.registry import CORRECTIONS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from agc.gradients.gradient import LossFunction

Variant = Literal["corrected", "a-itop", "a-rigl", "a-bsr"]
Estimator = Literal["loss", "gradient", "layer", "online"]


@CORRECTIONS.register("agc", source="arXiv 2301.03573")
class AGC(ControlVariate):
    """Gradient correction (AGC): g + γτ (u - q).

    g is the minibatch gradient, q the same batch's gradient at the snapshot (the weights at the
    epoch's start), and u the full gradient there, so the correction has mean zero and the
    corrected gradient stays unbiased. τ estimates the correlation of present and older gradients,
    smoothed over epochs with the forgetting factor α.

    ``variant="corrected"`` departs from the official code where that is biased or leaks: the first
    snapshot is the masked initial weights, no stale gradient enters u, the pass leaves the model's
    buffers alone and sees the same kind of images as the steps. ``a-itop``, ``a-rigl`` and
    ``a-bsr`` are the three published codes as they are (:mod:`agc.corrections.shared.official`).
    With the official estimator an epoch costs 10 units a batch instead of 3.

    Args:
        gamma: scale γ of the coefficient; the official default is 0.1.
        alpha: forgetting factor α, weight of the newest estimate of τ.
        tau0: τ before the first estimate.
        variant: which published behaviour to follow.
        estimator: ``loss`` is the official one, of the losses at two points an epoch apart.
            ``gradient`` and ``layer`` regress g on q within the training pass, for all tensors
            together or each by itself, at no extra pass; ``online`` does so with a memory of five
            steps or so, and starts at 1 with each snapshot: it follows the snapshot's age.
        clip: bounds of τ, or null.
        full_gradient: u from a full ``pass``, from a ``subset`` of it, or as the ``running`` mean
            of the gradients of the epoch before (no pass; the first epoch is not corrected).
        subset: fraction of the batches that the subset has.
        match_objective: whether the pass sees adversarial images if the steps do.
    """

    off: ClassVar[dict[str, Any] | None] = {"gamma": 0.0}

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
        full_gradient: Literal["pass", "subset", "running"] = "pass",
        subset: Annotated[float, Field(gt=0, le=1)] = 0.25,
        match_objective: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(model)
        if variant not in BEHAVIOURS:
            raise ValueError(f"unknown variant {variant!r} of agc (known: {', '.join(BEHAVIOURS)})")
        reason = _impossible(estimator, full_gradient)
        if reason is not None:
            raise ValueError(reason)
        self.behaviour = BEHAVIOURS[variant]
        self.keeps_buffers = self.behaviour.keeps_buffers
        self.gamma = gamma
        self.full_gradient = full_gradient
        self.subset = subset
        self.pass_images = self.behaviour.images if match_objective else "clean"
        self.correlation = make_correlation(
            estimator, alpha, 0.0 if self.behaviour.certain else tau0, clip
        )
        self.last_gradient: dict[str, Tensor] = {}
        self.running: dict[str, Tensor] = {}
        self.running_steps = 0
        if self.behaviour.first_snapshot == "dense":
            self.reference = ReferencePoint(self.model)
        elif self.behaviour.first_snapshot == "independent":
            self.reference = ReferencePoint(fresh_weights(copy.deepcopy(self.model), seed))

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """The official estimator needs a pass."""
        return _impossible(options["estimator"], options["full_gradient"])

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
        return {name: self.gamma * self.correlation.of(name) for name in self.parameters}

    def begin_epoch(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Full gradient at the present weights, τ, new snapshot.

        Raises:
            ValueError: ``batches`` is empty.
        """
        if self.full_gradient == "running":
            if self.running_steps:
                self.mean = {n: s / self.running_steps for n, s in self.running.items()}
            self.running, self.running_steps = {}, 0
        else:
            if self.reference is None:
                self.move_reference()
            if self.full_gradient == "subset":
                batches = islice(batches, ceil(self.subset * len(batches)))
            self.mean = self.mean_gradient(batches, loss_fn)
        self.correlation.end_epoch(
            certain=self.behaviour.certain,
            average=lambda losses: self.replicas.mean({"losses": losses})["losses"],
        )
        self.move_reference()
        if self.full_gradient != "running":
            self.correlation.renew()

    def pass_gradient(self, batch: Any, loss_fn: LossFunction) -> dict[str, Tensor]:
        """Gradient at the present weights; the losses there and at the older ones are noted."""
        loss, gradient = loss_and_gradient(self.model, self.parameters, batch, loss_fn, self.scale)
        if isinstance(self.correlation, LossCorrelation):
            with self.noise.replayed(len(parts(batch))):
                self.correlation.observe(loss, self.reference.loss(batch, loss_fn))
        return gradient

    def start_of_sum(self) -> dict[str, Tensor]:
        """Zeros, or the stale gradient of the step before that A-ITOP forgets to clear."""
        if self.behaviour.leaks and self.last_gradient:
            return {name: g.clone() for name, g in self.last_gradient.items()}
        return super().start_of_sum()

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """Add γτ (u - q) to the gradients.

        Raises:
            RuntimeError: no epoch has begun.
        """
        if self._skips_this_step():
            for parameter in self.parameters.values():
                parameter.grad = None
            return
        if self.scale.overflowed(self.gradients().values()):
            return
        raw = {
            n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in self.parameters.items()
        }
        if self.behaviour.leaks:
            self.last_gradient = {name: g.clone() for name, g in raw.items()}
        with torch.no_grad():
            if self.full_gradient == "running":
                self._add_to_running(raw)
        if self.full_gradient == "running" and not self.mean:
            return
        difference = self.difference(batch, loss_fn)
        with torch.no_grad():
            # The coefficient of this step must not know this step's gradient, or bias comes in.
            coefficients = self.coefficients()
            self.correlation.regress(self._centred(raw), difference)
            self.add(difference, coefficients)

    def _centred(self, raw: dict[str, Tensor]) -> dict[str, Tensor]:
        """g - u. A running mean is biased, and regressed on it would hide its own bias."""
        if self.full_gradient == "running":
            return raw
        return {name: raw[name] - mean for name, mean in self.mean.items() if name in raw}

    def _add_to_running(self, gradient: dict[str, Tensor]) -> None:
        for name, value in gradient.items():
            if name in self.running:
                self.running[name] += value
            else:
                self.running[name] = value.clone()
        self.running_steps += 1

    def _skips_this_step(self) -> bool:
        """A-RigL makes no optimizer step where the topology is updated."""
        if not self.behaviour.skips_update_steps or self.sparse is None:
            return False
        return self.sparse.update_due(self.sparse.steps + 1)

    def diagnostics(self) -> dict[str, float]:
        """τ and the coefficient γτ."""
        return {"tau": self.tau, "coefficient": self.coefficient}

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """Pass: gradient (3) and, for the official estimator, older loss (1); step: 3 more."""
        running = options.get("full_gradient", "pass") == "running"
        share = options.get("subset", 1.0) if options.get("full_gradient") == "subset" else 1.0
        units = 0.0 if running else share * (4 if options.get("estimator", "loss") == "loss" else 3)
        clean = not options.get("match_objective", True) or options.get("variant") == "a-bsr"
        passes = 0.0 if running or clean else share
        return Cost(step=3, snapshot=units, prepared_pass=passes, tensors=3 if running else 2)

    def state_dict(self) -> dict[str, Any]:
        """The reference point and mean, the correlation, and what sums are under way."""
        return {
            **super().state_dict(),
            "correlation": self.correlation.state_dict(),
            "last_gradient": self.last_gradient,
            "running": self.running,
            "running_steps": self.running_steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        super().load_state_dict(state)
        self.correlation.load_state_dict(state["correlation"])
        self.last_gradient = copy.deepcopy(dict(state["last_gradient"]))
        self.running = copy.deepcopy(dict(state["running"]))
        self.running_steps = state["running_steps"]


def _impossible(estimator: str, full_gradient: str) -> str | None:
    if estimator == "loss" and full_gradient == "running":
        return (
            "agc: estimator 'loss' compares losses in a pass, which full_gradient 'running' lacks"
        )
    return None
