"""Learning rates for the arms of a grid: the runs that choose them, and the rates chosen.

An arm is all that is trained in the same way but for the seed and the learning rate. Each gets the
same rates on the same seeds, and no run of the grid itself has one of these seeds.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agc.errors import UserError
from agc.grids.axes import AXES
from agc.grids.cell import Cell, make_cell
from agc.grids.files import Tuning
from agc.places import known_files

SUFFIX = "-tuning"
"""After the name of a grid: the runs that choose its learning rates, as a grid of their own."""

NEEDED = ("arm", "lr", "seeds", "chosen")
"""Columns of a file of learning rates that are read; the others are for people."""


def tuning_name(grid: str) -> str:
    """Name, or path of no file, under which the tuning cells of a grid are a grid."""
    path = Path(grid)
    if path.suffix in (".yaml", ".yml"):
        return str(path.with_name(f"{path.stem}{SUFFIX}{path.suffix}"))
    return f"{grid}{SUFFIX}"


def tuned_grid(name: str, workflows: Path | None = None) -> str | None:
    """The grid whose tuning cells ``name`` stands for; None if a file has that very name."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        base = path.with_name(f"{path.stem.removesuffix(SUFFIX)}{path.suffix}")
        return str(base) if base.is_file() and not path.exists() else None
    known = known_files("grids", workflows)
    base_name = name.removesuffix(SUFFIX)
    return base_name if base_name in known and name not in known else None


def arm_of(cell: Cell) -> str:
    """Hash of all that a cell's training is, but for its seed and its learning rate.

    What is measured afterwards, and the revision of the code, do not make another arm.
    """
    data = cell.model_dump(mode="json", exclude={"seed", "revision", "evaluation"})
    del data["training"]["optimizer"]["lr"]
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_seeds(cells: Iterable[Cell], seeds: Iterable[int], source: str) -> None:
    """Refuse cells that have a seed on which learning rates are chosen.

    Raises:
        UserError: with the first such seed.
    """
    both = sorted({cell.seed for cell in cells} & set(seeds))
    if both:
        raise UserError(
            f"{source}: seed {both[0]} is one of the tuning and one of the grid: the runs that "
            "choose a learning rate cannot be those that measure it"
        )


def tuning_cells(cells: Iterable[Cell], tuning: Tuning, source: str) -> list[Cell]:
    """For each arm of these cells: every learning rate on every tuning seed.

    Raises:
        UserError: an optimizer takes no learning rate.
    """
    arms: dict[str, Cell] = {}
    for cell in cells:
        arms.setdefault(arm_of(cell), cell)
    found = []
    for cell in arms.values():
        optimizer = cell.training.optimizer.name
        if "lr" not in AXES["optimizer"].registry.takes(optimizer):
            raise UserError(f"{source}: tuning: optimizer {optimizer!r} takes no lr")
        found += [with_rate(cell, lr, s) for lr in sorted(tuning.lr) for s in tuning.seeds]
    return found


@dataclass(frozen=True)
class LearningRates:
    """The chosen learning rate of each arm, by :func:`arm_of`, and the seeds that chose it."""

    path: Path
    rates: dict[str, float]
    seeds: frozenset[int]

    def given(self, cell: Cell) -> Cell:
        """The cell with the learning rate of its arm.

        Raises:
            UserError: no learning rate was chosen for the arm.
        """
        lr = self.rates.get(arm_of(cell))
        if lr is None:
            raise UserError(
                f"{self.path}: no learning rate for the arm of cell {cell.slug!r}; it has "
                f"{len(self.rates)} arms, and all of an arm but seed and lr must be as it was "
                "tuned: tune this grid's own (`agc tune GRID`)"
            )
        return with_rate(cell, lr)


def read_learning_rates(path: Path) -> LearningRates:
    """Read a ``tuning.csv`` as of ``agc tune``.

    Raises:
        UserError: not there, not of this kind, or an arm without one chosen rate.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: {reason}; `agc tune GRID` writes such a file") from error
    rates: dict[str, float] = {}
    seeds: set[int] = set()
    for number, row in enumerate(rows, 2):
        try:
            arm, lr, used, chosen = (row[name] for name in NEEDED)
            seeds |= {int(seed) for seed in used.split()}
            if chosen == "True":
                if arm in rates:
                    raise ValueError(f"a second rate is chosen for arm {arm}")
                rates[arm] = float(lr)
                if not 0 < rates[arm] < float("inf"):
                    raise ValueError(f"lr = {lr}: expected a positive number")
        except KeyError as error:
            raise UserError(f"{path}: no column {error}; it needs {', '.join(NEEDED)}") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{path}, line {number}: {error}") from error
    if lacking := {row["arm"] for row in rows} - set(rates):
        raise UserError(f"{path}: no rate is chosen for arm {min(lacking)}")
    if not rates:
        raise UserError(f"{path}: it has no row")
    return LearningRates(path, rates, frozenset(seeds))


def with_rate(cell: Cell, lr: float, seed: int | None = None) -> Cell:
    """The cell with another learning rate, and another seed if one is given.

    Raises:
        UserError: the rate is none.
    """
    data = cell.model_dump(mode="json") | {"seed": cell.seed if seed is None else seed}
    data["training"]["optimizer"]["lr"] = lr
    return make_cell(data, cell.slug)
