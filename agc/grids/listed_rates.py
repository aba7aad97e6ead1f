"""Learning rates that a grid file lists itself, by the arms that have them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agc.errors import UserError
from agc.grids.cell import Cell
from agc.grids.files import ArmRate
from agc.grids.matching import check_fields, matches
from agc.grids.tuning import with_rate

KEY = "learning_rates"


@dataclass(frozen=True)
class ListedRates:
    """The list of the grid file ``path``; of several rates that match a cell the first counts.

    Raises:
        UserError: the list looks at a field by which no cell is matched.
    """

    path: Path
    rates: tuple[ArmRate, ...]

    def __post_init__(self) -> None:
        check_fields((rate.where for rate in self.rates), f"{self.path}: {KEY}")

    def given(self, cell: Cell) -> Cell:
        """The cell with its learning rate.

        Raises:
            UserError: none of the list matches the cell, or it names an entry that there is not.
        """
        try:
            found = next((r for r in self.rates if matches(cell, r.where, KEY)), None)
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from error
        if found is None:
            raise UserError(
                f"{self.path}: {KEY}: none of {len(self.rates)} matches cell {cell.slug!r}"
            )
        return with_rate(cell, found.lr)
