"""Who looks on while a step is made."""

from __future__ import annotations


class Observer:
    """Told where a training is; changes no weight, gradient, buffer, mode or random stream."""

    def epoch_begun(self) -> None:
        """The correction is ready for an epoch."""

    def corrected(self) -> None:
        """The first gradient of a step has been corrected; the optimizer comes next."""

    def stepped(self, changed: bool) -> None:
        """A step is over; ``changed`` says whether it has changed the topology."""
