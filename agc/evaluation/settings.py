"""The part of a cell that says how its network is attacked, in training and at its end."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_serializer

from agc.objectives.threat import Norm
from agc.registry import LATER, without_later_defaults


class Evaluation(BaseModel):
    """PGD of the robust evaluation, for pixels in [0, 1].

    Attributes:
        norm: of the ball, and of ``epsilon`` and ``step_size``.
        validation_steps: steps of the attack on the validation images after each epoch of an
            adversarial objective, whose best epoch is then the one of the highest robust
            accuracy; 0: there is none, and the best epoch is the one of the highest accuracy.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epsilon: Annotated[float, Field(ge=0)] = 8 / 255
    step_size: Annotated[float, Field(ge=0)] = 2 / 255
    steps: Annotated[int, Field(ge=1)] = 20
    norm: Annotated[Norm, LATER] = "linf"
    validation_steps: Annotated[int, Field(ge=0), LATER] = 0

    @model_serializer(mode="wrap")
    def _short(self, dump: Any) -> dict[str, Any]:
        return without_later_defaults(type(self), dump(self))
