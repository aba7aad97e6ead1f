"""Step-ahead error feedback (Xu, Huo and Huang, AAAI 2021, arXiv 2008.05823)."""

from __future__ import annotations

from agc.communication.shared.error_feedback import ErrorFeedback
from agc.registry import COMMUNICATION


@COMMUNICATION.register(
    "saef",
    source="AAAI 2021, arXiv 2008.05823",
    bits="the compressor's",
    state="e, m of a worker; s",
    against="ef",
    apart=("start",),
)
class SAEF(ErrorFeedback):
    """Error feedback whose workers take their gradients at x - e: ahead by what they still owe.

    As in the authors' code (anxuthu/SAEF), whose own start is ``start="zero"``. It gives the
    compressor the initial weights, which weighs on ``ef`` and not on this, as x - e is the initial
    weights exactly; and its runs on ImageNet have ``average=20`` and half the ratio of ``ef``.
    The network is used at x, as there, while running statistics are those of x - e: ``def`` with
    ``alpha=1`` makes the same steps and uses it at x - mean(e).
    Options and recursion are those of :mod:`agc.communication.shared.error_feedback`.
    """

    alpha = 1.0
