"""Bits that a worker sends and gets, by formula."""

from __future__ import annotations

from agc.state import Stateful


class Traffic(Stateful):
    """Counts for one worker: all of them send as much.

    What is counted: messages of the steps and what comes back; errors that are averaged; mean
    gradients over a pass, which a correction wants; and the whole mean gradient of the prunable
    weights where a method grows by it. Losses and running statistics are not, nor what a method
    looks at once before the training.
    """

    state = ("bits_up", "bits_down")

    bits_up = 0
    bits_down = 0

    def traffic(self) -> dict[str, int]:
        """Bits so far: ``bits_up`` that a worker has sent, ``bits_down`` that came back to it."""
        return {"bits_up": self.bits_up, "bits_down": self.bits_down}

    def travelled(self, up: int, down: int) -> None:
        """Count what each worker has sent and what came back."""
        self.bits_up += up
        self.bits_down += down
