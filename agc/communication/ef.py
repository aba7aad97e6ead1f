"""Error feedback (Seide et al., Interspeech 2014; Karimireddy et al., arXiv 1901.09847)."""

from __future__ import annotations

from agc.communication.shared.error_feedback import ErrorFeedback
from agc.registry import COMMUNICATION


@COMMUNICATION.register(
    "ef", source="arXiv 1901.09847", bits="the compressor's", state="e, m of a worker; s"
)
class EF(ErrorFeedback):
    """Momentum SGD with compressed messages: what one leaves out is added to the next one.

    All workers take their gradients at the weights that they share. Options and recursion are
    those of :mod:`agc.communication.shared.error_feedback`.
    """
