"""CGQ (Hao et al., arXiv 2106.11548): conjugate gradients with a quadratic line search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from agc import rng
from agc.cost.units import Cost
from agc.errors import UserError, unknown
from agc.lazy import torch
from agc.optimizers.base import TorchOptimizer
from agc.optimizers.shared.closures import repeated
from agc.optimizers.shared.conjugate import FORMULAS, Formula, conjugacy
from agc.optimizers.shared.line import Line
from agc.optimizers.shared.parabola import careful_search, published_search
from agc.optimizers.shared.searchable import unsearchable
from agc.registry import OPTIMIZERS

if TYPE_CHECKING:
    from torch import Tensor

SEARCHES = {"corrected": careful_search, "published": published_search}

TRIES = 1.1
"""Points that a search tries in the mean, beside its first step; measured on digits."""

DECAY = 0.8
"""Of the trial step, after an epoch of shorter steps."""

SHARE, LONGEST = 1 / 3, 0.1
"""The trial step by default: a share of the bound, no longer than the paper's longest."""


@OPTIMIZERS.register("cgq", source="arXiv 2106.11548")
class CGQ(TorchOptimizer):
    """SGD whose learning rate and momentum follow from a line search in a tenth of its steps.

    A search takes the momentum β of non-linear conjugate gradients, from its gradient and that of
    the search before, and goes as far along its direction as a parabola through losses of the batch
    and their slope says. Learning rate and momentum then are the means of what they were and what
    it has found. Defaults are those of the paper's runs (``train_net.py`` of zh272/CGQ-solver),
    which begin with Nesterov momentum 0.8 and a learning rate of at most 0.1.

    ``step(closure)`` works as in ``torch.optim.LBFGS``: the closure clears the gradients, computes
    the loss, calls ``backward`` and returns the loss. Searches call it again, with the same random
    numbers, and keep the gradients of the first call. Running statistics notice such a call;
    ``probe``, a second callable, gives the loss alone. Call :meth:`begin_epoch` before each epoch.

    ``variant="corrected"`` is plain SGD, to the bit, between searches; a search ends at the least
    loss that it has seen, between 0 and the bound, and its probes leave running statistics alone.
    ``published`` counts the first gradient more than once, has the other sign in ``hs`` and ``dy``,
    and ends at the last point even if that is worse than the start, or behind it. Groups of weights
    are searched together by either; the published code searches them in turn.

    Args:
        params: what is trained: tensors or groups.
        lr: the first learning rate, like ``momentum``, ``nesterov`` and ``weight_decay`` as of SGD.
        seed: of the coins that say which steps search.
        beta: formula of β: ``pr``, ``fr``, ``hs`` or ``dy``.
        ls_prob: probability that a step searches; at 0 it is SGD.
        bound: the longest step, in units of the direction, as a learning rate is.
        trial: length of a search's first step, or null: a third of the bound, at most 0.1.
        tries: points that a search tries at most beside that.
        momentum_bound: β is kept between 0 and this.
        points: of the next fit that a try that has failed leaves: 2 replaces the last, 3 adds one.
        variant: which behaviour to follow.

    Raises:
        UserError: no such formula or variant, or the trial step is beyond the bound.
    """

    probes: ClassVar[bool] = True

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        seed: int = 0,
        beta: Formula = "pr",
        ls_prob: Annotated[float, Field(ge=0, le=1)] = 0.1,
        bound: Annotated[float, Field(gt=0)] = 0.3,
        trial: Annotated[float, Field(gt=0)] | None = None,
        tries: Annotated[int, Field(ge=1)] = 3,
        momentum_bound: Annotated[float, Field(ge=0)] = 0.8,
        points: Literal[2, 3] = 3,
        variant: Literal["corrected", "published"] = "corrected",
    ) -> None:
        if beta not in FORMULAS:
            raise unknown("beta", beta, FORMULAS)
        if variant not in SEARCHES:
            raise unknown("variant", variant, SEARCHES)
        if reason := _too_long(trial, bound):
            raise UserError(reason)
        first = min(bound * SHARE, LONGEST) if trial is None else trial
        shared = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        shared |= {"nesterov": nesterov and momentum > 0, "variant": variant, "beta": beta}
        lengths = {"bound": bound, "trial": first, "momentum_bound": momentum_bound}
        limits = {"seed": seed, "ls_prob": ls_prob, "tries": tries, "points": points}
        counts = {"steps": 0, "probed": 0, "epoch_steps": 0, "epoch_rates": 0.0}
        super().__init__(params, {**shared, **lengths, **limits, **counts})

    @property
    def settings(self) -> dict[str, Any]:
        """The first group, where what all groups share and the counts are kept."""
        return self.param_groups[0]

    @property
    def published(self) -> bool:
        """Whether it follows the published code."""
        return self.settings["variant"] == "published"

    @property
    def keeps_buffers(self) -> bool:
        """Not so in the published code."""
        return not self.published

    def begin_epoch(self) -> None:
        """Shorten the trial step if the steps of the epoch before were shorter in the mean."""
        kept = self.settings
        if kept["epoch_steps"] and kept["epoch_rates"] / kept["epoch_steps"] < kept["trial"]:
            kept["trial"] *= DECAY
        kept["epoch_steps"], kept["epoch_rates"] = 0, 0.0

    def step(
        self, closure: Callable[[], Any] | None = None, probe: Callable[[], Any] | None = None
    ) -> Any:
        """Make a step; the closure's loss, of before it.

        Args:
            closure: leaves the gradients, which are there already without it; returns the loss.
            probe: returns the loss at the present weights, and leaves everything as it is.

        Raises:
            RuntimeError: a step is to search, and there is neither.
        """
        searches = self._searches()
        before = rng.streams() if searches and probe is None else None
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if next(self._reached(), None) is None:
            return loss
        with torch.no_grad():
            if searches:
                if probe is None and closure is not None:
                    probe = repeated(closure, before, [weight for weight, _ in self._reached()])
                if probe is None:
                    raise RuntimeError("CGQ: this step is to search; give step() the closure")
                self._search(float(probe() if loss is None else loss), probe)
            else:
                for weight, group in self._reached():
                    direction = self._direction(weight, group, group["momentum"])
                    weight.add_(direction, alpha=-group["lr"])
        kept = self.settings
        kept["steps"] += 1
        kept["epoch_steps"] += 1
        kept["epoch_rates"] += kept["lr"]
        return loss

    def _searches(self) -> bool:
        """The coin of this step."""
        kept = self.settings
        if not 0 < kept["ls_prob"] < 1:
            return kept["ls_prob"] > 0
        generator = rng.generator(kept["seed"], "optimizer/probe", step=kept["steps"])
        return torch.rand((), generator=generator).item() < kept["ls_prob"]

    def _reached(self) -> Iterator[tuple[Tensor, dict[str, Any]]]:
        """The weights that have a gradient, with their groups."""
        for group in self.param_groups:
            yield from ((one, group) for one in group["params"] if one.grad is not None)

    def _direction(self, weight: Tensor, group: dict[str, Any], momentum: float) -> Tensor:
        """What is to be subtracted, times a length; the momentum buffer takes the gradient in."""
        slots, direction = self.state[weight], weight.grad
        if group["weight_decay"] != 0:
            direction = direction.add(weight, alpha=group["weight_decay"])
        fresh = "momentum_buffer" not in slots
        if fresh:
            slots["momentum_buffer"] = direction.clone()
        if self.published and momentum == 0:
            return direction
        buffer = slots["momentum_buffer"]
        if self.published or not fresh:
            buffer.mul_(momentum).add_(direction)
        return direction.add(buffer, alpha=momentum) if group["nesterov"] else buffer

    def _search(self, start: float, probe: Callable[[], Any]) -> None:
        """Go as far as the losses say, and let learning rate and momentum follow."""
        kept, beta = self.settings, self._beta()
        trial = kept["trial"]
        line = Line(
            (weight, self._direction(weight, group, group["momentum"] if beta is None else beta))
            for weight, group in self._reached()
        )

        def loss(place: float) -> float:
            line.move(place * trial)
            kept["probed"] += 1
            return float(probe())

        search, slope = SEARCHES[kept["variant"]], line.slope() * trial
        limits = {key: kept[key] for key in ("tries", "points")}
        try:
            found = search(loss, start, slope, bound=kept["bound"] / trial, **limits) * trial
        except BaseException:
            line.move(0.0)
            raise
        line.move(found)
        for group in self.param_groups:
            group["lr"] = (group["lr"] + found) / 2
            if beta is not None:
                group["momentum"] = (group["momentum"] + beta) / 2

    def _beta(self) -> float | None:
        """β of this search, None if there is none yet; its gradient is that of the next one."""
        found = [(weight.grad, self.state[weight]) for weight, _ in self._reached()]
        older = [(gradient, slots) for gradient, slots in found if "last_gradient" in slots]
        known = ((g, slots["last_gradient"], slots["momentum_buffer"]) for g, slots in older)
        beta = conjugacy(self.settings["beta"], known, 1.0 if self.published else -1.0)
        for gradient, slots in found:
            slots["last_gradient"] = gradient.clone()
        return None if beta is None else min(max(beta, 0.0), self.settings["momentum_bound"])

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """A trial step beyond the bound, or a loss that cannot be searched."""
        return _too_long(options["trial"], options["bound"]) or unsearchable(cell)

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """Forward passes of the searches, in expectation; the gradient of the last one."""
        tried = TRIES if options["tries"] > 1 else 0
        return Cost(step=options["ls_prob"] * (1 + tried), tensors=1)


def _too_long(trial: float | None, bound: float) -> str | None:
    if trial is None or trial <= bound:
        return None
    return f"option trial = {trial:g} is beyond option bound = {bound:g}"
