"""Steps that the optimizer does not make, as where a GradScaler finds that float16 overflowed."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer


class StepWatch:
    """Whether the optimizer makes its steps, by a hook on it that goes when the watch does.

    A GradScaler does not call ``step`` where a gradient overflowed; a fused optimizer is called
    with ``found_inf`` and changes nothing. A network that diverges in float32 makes its steps.

    Args:
        optimizer: torch's; of others, and of None, nothing is known.
    """

    def __init__(self, optimizer: Optimizer | None) -> None:
        self.optimizer = optimizer
        self.known = hasattr(optimizer, "register_step_post_hook")
        self.seen = False
        """Whether a step has ever been seen: an optimizer's wrapper may hide them."""
        self.called = False
        self.found_inf: Tensor | None = None
        if self.known:
            here = weakref.ref(self)

            def look(stepped: Optimizer, args: Any, kwargs: Any) -> None:
                if (watch := here()) is not None:
                    watch.called = watch.seen = True
                    watch.found_inf = getattr(stepped, "found_inf", None)

            weakref.finalize(self, optimizer.register_step_post_hook(look).remove)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies watch the copied optimizer."""
        return StepWatch, (self.optimizer,)

    def taken(self) -> bool | None:
        """Whether a step was made since this was asked before; None if nothing is known.

        It waits for the device under a GradScaler with a fused optimizer alone.
        """
        called, found_inf = self.called, self.found_inf
        self.called, self.found_inf = False, None
        if called and found_inf is not None:
            return not bool(found_inf)
        return called if self.known else None

    def gradients(self) -> list[Tensor]:
        """Those that the optimizer has now."""
        groups = getattr(self.optimizer, "param_groups", [])
        return [p.grad for group in groups for p in group["params"] if p.grad is not None]
