"""AdaMomentum (Wang et al., ICDM 2023, arXiv 2106.11514): Adam with the momentum's own square.

As in the authors' class AdaM3. Its other inheritance from AdaBelief (AMSGrad, rectification), off
in all of their experiments, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from agc.cost.units import Cost
from agc.lazy import torch
from agc.optimizers.base import TorchOptimizer
from agc.registry import OPTIMIZERS

if TYPE_CHECKING:
    from torch import Tensor

Beta = Annotated[float, Field(ge=0, lt=1)]


@OPTIMIZERS.register("adamomentum", source="ICDM 2023, arXiv 2106.11514")
class AdaMomentum(TorchOptimizer):
    """Adam whose second moment is that of the momentum m: v ← β₂ v + (1 - β₂) m² + ε.

    ε stays in v and adds up to ε / (1 - β₂): where |m| is far below the root of that, this is SGD
    with momentum β₁ and a learning rate of (1 - β₁) sqrt((1 - β₂) / ε) times ``lr``. The first step
    is lr / (1 - β₁), ten times Adam's, so a recipe wants a warm-up. A correction that takes noise
    away makes v smaller and steps longer: it is no reduction of variance alone then.

    Args:
        params: what is trained: tensors or groups.
        lr: learning rate.
        weight_decay: in its own step, times ``lr``, if ``decoupled``; else added to the gradient.
        betas: of the momentum, and of its square.
        eps: added to v in each step, above 0; the authors have 1e-16, and 1e-8 on CIFAR-10.
        decoupled: whether weight decay is a step of its own.
        counts: steps that the bias corrections count: each ``weight``'s own, so that one that is
            grown anew starts like any other, or those of its ``tensor``, as published, with which
            its first step is up to 1 / sqrt(1 - β₂) = 32 learning rates long. Where no weight comes
            back the two are the same.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        betas: tuple[Beta, Beta] = (0.9, 0.999),
        eps: Annotated[float, Field(gt=0)] = 1e-16,
        decoupled: bool = True,
        counts: Literal["weight", "tensor"] = "weight",
    ) -> None:
        if not eps > 0:
            raise ValueError(f"eps = {eps}: above 0, as v of a pruned weight would be 0")
        defaults = {"lr": lr, "weight_decay": weight_decay, "betas": tuple(betas), "eps": eps}
        super().__init__(params, {**defaults, "decoupled": decoupled, "counts": counts})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns the closure's loss, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                weights = [weight for weight in group["params"] if weight.grad is not None]
                if weights:
                    self._update(group, weights)
        return loss

    def _update(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        """One step of the weights of a group that have a gradient."""
        states = [self._state(weight, group["counts"]) for weight in weights]
        step, momentum, square = (
            [state[key] for state in states] for key in ("step", "exp_avg", "exp_avg_sq")
        )
        gradients = [weight.grad for weight in weights]
        lr, decay, (beta1, beta2) = group["lr"], group["weight_decay"], group["betas"]
        if decay and group["decoupled"]:
            torch._foreach_mul_(weights, 1 - lr * decay)
        elif decay:
            gradients = torch._foreach_add(gradients, weights, alpha=decay)
        torch._foreach_add_(step, 1)
        torch._foreach_mul_(momentum, beta1)
        torch._foreach_add_(momentum, gradients, alpha=1 - beta1)
        torch._foreach_mul_(square, beta2)
        torch._foreach_addcmul_(square, momentum, momentum, 1 - beta2)
        torch._foreach_add_(square, group["eps"])
        first, second = (_bias_correction(beta, step, weights) for beta in (beta1, beta2))
        # sqrt(v / (1 - β₂ᵏ)) · (1 - β₁ᵏ): what the momentum is divided by.
        divisor = torch._foreach_div(square, second)
        torch._foreach_sqrt_(divisor)
        torch._foreach_mul_(divisor, first)
        torch._foreach_addcdiv_(weights, momentum, divisor, -lr)

    def _state(self, weight: Tensor, counts: str) -> dict[str, Any]:
        state = self.state[weight]
        if not state:
            like = {"memory_format": torch.preserve_format}
            # Torch keeps this name's type when it loads a state: bfloat16 could not count to 257.
            kind = torch.float64 if weight.dtype == torch.float64 else torch.float32
            own = counts == "weight"
            shape = weight if own else weight.new_zeros(())
            state["step"] = torch.zeros_like(shape, dtype=kind, **like)
            state["exp_avg"] = torch.zeros_like(weight, **like)
            state["exp_avg_sq"] = torch.zeros_like(weight, **like)
        return state

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """No pass; v, and a count for each weight."""
        return Cost(tensors=2 if options.get("counts", "weight") == "weight" else 1)


def _bias_correction(beta: float, step: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
    """1 - βᵏ for each weight, in its own precision."""
    powers = torch._foreach_pow(beta, step)
    left = torch._foreach_neg(powers)
    torch._foreach_add_(left, 1)
    return [value.to(weight.dtype) for value, weight in zip(left, weights, strict=True)]
