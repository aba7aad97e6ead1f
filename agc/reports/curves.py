"""The course of each run as arrays, and which of its epochs may count as its best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agc.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

# Sparsity is counted exactly; this is only room for the rounding of each layer's count.
SPARSITY_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Curve:
    """One run, [epochs] each; ``units`` and ``seconds`` (of training alone) are cumulative.

    ``counts`` is False in epochs below the target sparsity: a denser network is another network.
    ``test_accuracy`` is NaN in epochs whose test images were not measured (``evaluation.test``).
    """

    validation_accuracy: NDArray[np.float64]
    train_loss: NDArray[np.float64]
    test_accuracy: NDArray[np.float64]
    units: NDArray[np.float64]
    seconds: NDArray[np.float64]
    counts: NDArray[np.bool_]

    def counted(self, measure: str) -> NDArray[np.float64]:
        """An accuracy or ``train_loss`` by its name, NaN in epochs that do not count."""
        return np.where(self.counts, getattr(self, measure), np.nan)

    @property
    def tested(self) -> bool:
        """Whether the test images were measured after every epoch."""
        return not np.isnan(self.test_accuracy).any()


def read_curves(records: pd.DataFrame, epochs: pd.DataFrame) -> dict[str, Curve]:
    """The curve of each finished cell, by slug.

    Raises:
        UserError: a finished cell has no epochs.
    """
    by_slug = dict(list(epochs.sort_values("epoch").groupby("slug")))
    curves = {}
    for cell in records[records["status"] == "finished"].itertuples():
        if cell.slug not in by_slug:
            raise UserError(f"no epochs of cell {cell.slug!r}")
        table = by_slug[cell.slug]
        enough = min(cell.target_sparsity, cell.reached_sparsity) - SPARSITY_TOLERANCE
        curves[cell.slug] = Curve(
            validation_accuracy=table["validation_accuracy"].to_numpy(),
            train_loss=table["train_loss"].to_numpy(),
            test_accuracy=table["test_accuracy"].to_numpy(),
            units=table["units"].to_numpy(),
            seconds=table["train_seconds"].cumsum().to_numpy(),
            counts=table["sparsity"].to_numpy() >= enough,
        )
    return curves
