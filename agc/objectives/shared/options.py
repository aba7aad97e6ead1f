"""Options that several objectives share, with what each may be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from agc.attacks.shared.pgd import BatchNorm
from agc.attacks.shared.threat import Norm, Start
from agc.registry import LATER

__all__ = [
    *("BatchNorms", "Beta", "Epsilon", "History", "Near", "Norms", "Smoothing", "Solvers"),
    *("Starts", "Steps"),
]

Epsilon = Annotated[float, Field(ge=0)]
Steps = Annotated[int, Field(ge=1)]
Beta = Annotated[float, Field(ge=0)]
Norms = Annotated[Norm, LATER]
Starts = Annotated[Start, LATER]
BatchNorms = Annotated[BatchNorm, LATER]
Solvers = Annotated[Literal["pgd", "jiio"], LATER]
History = Annotated[int, Field(ge=1), LATER]
Smoothing = Annotated[float, Field(ge=0, lt=1), LATER]
# At the image itself the divergence from its own prediction has no gradient: nothing would move.
Near = Annotated[Literal["uniform", "normal"], LATER]
