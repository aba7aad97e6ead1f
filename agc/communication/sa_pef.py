"""Step-ahead partial error feedback (Redie, Arablouei and Werner, TMLR 2026, arXiv 2601.20738)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc.communication.shared.error_feedback import ErrorFeedback
from agc.registry import COMMUNICATION

if TYPE_CHECKING:
    from torch.nn import Module
    from torch.optim import Optimizer


@COMMUNICATION.register(
    "sa-pef",
    source="arXiv 2601.20738, abstract",
    bits="the compressor's",
    state="e, m of a worker; s",
    against="ef",
    apart=("start",),
)
class SAPEF(ErrorFeedback):
    """Error feedback whose workers step ahead by a part of their error: gradients at x - α e.

    Re-implemented from the abstract, with one local step in a round and α the same in all of them:
    the whole error is in the next message, as in ``ef`` (α = 0) and ``saef`` (α = 1). Options and
    recursion are those of :mod:`agc.communication.shared.error_feedback`.

    Args:
        alpha: α.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        *,
        alpha: Annotated[float, Field(ge=0, le=1)] = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, **options)
        self.alpha = alpha
