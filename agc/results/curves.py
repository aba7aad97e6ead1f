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
# Units are sums of many fractions: an equal budget must not fail by its last bit.
BUDGET_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Curve:
    """One run, [epochs] each.

    ``counted_accuracy`` and ``counted_loss`` (validation accuracy, training loss) are NaN in
    epochs below the target sparsity: a denser network is another network. ``units`` and
    ``seconds`` (of training alone) are cumulative.
    """

    counted_accuracy: NDArray[np.float64]
    counted_loss: NDArray[np.float64]
    test_accuracy: NDArray[np.float64]
    units: NDArray[np.float64]
    seconds: NDArray[np.float64]

    def best_within(self, units: float) -> tuple[int, float]:
        """Epochs that ``units`` pay for, and the test accuracy of the best-on-validation of them.

        The accuracy is NaN if no epoch that counts is paid for.
        """
        paid = int(np.sum(self.units <= units * (1 + BUDGET_TOLERANCE)))
        accuracy = self.counted_accuracy[:paid]
        if np.isnan(accuracy).all():
            return paid, float("nan")
        return paid, float(self.test_accuracy[np.nanargmax(accuracy)])


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
        counts = table["sparsity"].to_numpy() >= enough
        curves[cell.slug] = Curve(
            counted_accuracy=np.where(counts, table["validation_accuracy"], np.nan),
            counted_loss=np.where(counts, table["train_loss"], np.nan),
            test_accuracy=table["test_accuracy"].to_numpy(),
            units=table["units"].to_numpy(),
            seconds=table["train_seconds"].cumsum().to_numpy(),
        )
    return curves
