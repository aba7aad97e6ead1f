"""Updates of the topology that fall on a step which the optimizer leaves out."""

from __future__ import annotations

from agc.methods.shared.hooks import Method


class PutOff(Method):
    """Makes such an update at the next step that is made, so that none is lost."""

    state = ("put_off",)

    put_off = 0
    """Step whose update is still to be made, as the optimizer left that step out; else 0."""

    def served(self, step: int) -> range:
        """The steps whose updates are made at the end of ``step``: its own, and those put off."""
        return range(self.put_off or step, step + 1)

    @property
    def scheduled(self) -> int:
        """The step that the update made now was due at: the present one, unless it was put off."""
        late = self.put_off and not self.update_due(self.steps)
        return self.put_off if late else self.steps

    def due_at(self, step: int) -> bool:
        """Whether ``step`` ends with an update, one that was put off included."""
        return bool(self.put_off) or self.update_due(step)

    def takes_update(self) -> bool:
        """Whether the topology is to be updated now, at the end of a step that has been counted.

        An update that falls on a step which the optimizer left out is put off to the next one that
        it makes. Who makes the update says so by :meth:`made_update`.
        """
        if not self.due_at(self.steps):
            return False
        if self.left_out():
            self.put_off = self.put_off or self.steps
            return False
        return True

    def made_update(self) -> None:
        """The update is made, and with it what was put off."""
        self.put_off = 0
