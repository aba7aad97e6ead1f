"""A grid file turned into cells: product of its axes, then include and exclude with reasons."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from agc.errors import UserError, unknown
from agc.grids.cell import Cell, make_cell, sources
from agc.grids.files import GridFile, Recipe, read_file
from agc.grids.listed_rates import ListedRates
from agc.grids.matching import check_fields, matches, told
from agc.grids.product import collapse, combinations
from agc.grids.recipes import apply_recipe, read_recipe
from agc.grids.seeds import added_cells
from agc.grids.tuning import (
    LearningRates,
    check_seeds,
    read_learning_rates,
    tuned_grid,
    tuning_cells,
    tuning_name,
)
from agc.places import find_file
from agc.registry import DATASETS

RESERVED = ("cells", "logs", "benchmarks", "mlartifacts", "mlflow.db")
"""What a results folder holds beside a folder for each grid."""


@dataclass(frozen=True)
class Skip:
    """Combinations that are no cells of their own."""

    count: int
    what: str
    reason: str


@dataclass(frozen=True)
class Grid:
    """A named set of cells.

    Attributes:
        name: that of its file.
        path: its file.
        file: content of that.
        cells: all different; one that another one starts from comes before it.
        skips: what is no cell of its own, and why.
        rates_by_arm: slugs of the cells whose learning rate was chosen for their arm.
        members: of a joint grid the cells of each of its grids, by name; a cell may be in several.
    """

    name: str
    path: Path
    file: GridFile
    cells: tuple[Cell, ...]
    skips: tuple[Skip, ...] = field(default=())
    rates_by_arm: frozenset[str] = frozenset()
    members: dict[str, tuple[Cell, ...]] = field(default_factory=dict)

    @property
    def stages(self) -> dict[str, frozenset[str]] | None:
        """Slugs of the cells of each grid of a joint one, by its name; None of any other grid."""
        cells = {name: frozenset(c.slug for c in own) for name, own in self.members.items()}
        return cells or None

    @property
    def learning_rates(self) -> Path | None:
        """The table from which its arms have their learning rates, if they have them of one."""
        named = self.file.learning_rates
        return self.path.parent / named if isinstance(named, str) else None


def read_grid(name: str, workflows: Path | None = None) -> tuple[Path, GridFile]:
    """Find and read a grid's file, without a look at its cells; for ``NAME-tuning`` that of
    ``NAME``.

    Raises:
        UserError: no such grid, a key misspelt or of a wrong type.
    """
    path = find_file("grids", tuned_grid(name, workflows) or name, workflows)
    return path, read_file(path, GridFile)


def load_grid(name: str, workflows: Path | None = None) -> Grid:
    """Load a grid by path, or by name: ``grids/NAME.yaml`` of ``workflows`` if given, of the
    present folder's ``workflows/`` or of the package. Its recipes are first looked for beside it,
    and the seeds that its rows got later (:mod:`agc.grids.seeds`) are.

    ``NAME-tuning`` is the grid of the runs that choose the learning rates of ``NAME``, unless a
    file has that name. A joint grid has the cells of the grids that its file names beside it.

    Raises:
        UserError: no such grid, a key misspelt, an unknown entry, an impossible value; the
            message names the file and the key.
    """
    path, file = read_grid(name, workflows)
    if tuned_grid(name, workflows) is None:
        return _join(path, file) if file.grids else _load(path, file)
    if file.tuning is None:
        raise UserError(f"{path} has no key 'tuning', so there is no grid {name!r}")
    # The rates are still to be chosen: what may have been chosen before does not count.
    file = file.model_copy(update={"learning_rates": None})
    tuned = [cell for cell in _load(path, file).cells if _is_tuned(cell, file, path)]
    if not tuned:
        raise UserError(f"{path}: tuning: no cell has {told(file.tuning.where)}")
    cells = tuning_cells(tuned, file.tuning, str(path))
    file = file.model_copy(update={"description": f"runs that choose learning rates: {path.stem}"})
    path = Path(tuning_name(str(path)))
    return Grid(path.stem, path, file, tuple(cells))


def _join(path: Path, file: GridFile) -> Grid:
    """The cells of the grids that the file names, each of them loaded by itself, in their order."""
    _check_name(path)
    beside = {found.stem: found for found in sorted(path.parent.glob("*.yaml"))}
    members: dict[str, Grid] = {}
    cells: dict[str, Cell] = {}
    first: dict[str, str] = {}
    skips: list[Skip] = []
    for name in file.grids:
        if name not in beside:
            raise UserError(f"{path}: grids: {unknown('grid', name, beside)}")
        own = read_file(beside[name], GridFile)
        if own.grids:
            raise UserError(
                f"{path}: grids: {name} is a joint grid itself; name its grids instead: "
                f"{', '.join(own.grids)}"
            )
        member = members[name] = _load(beside[name], own)
        skips += [replace(skip, what=f"{skip.what} in {name}") for skip in member.skips]
        known = Counter(first[cell.slug] for cell in member.cells if cell.slug in first)
        skips += [Skip(n, f"grid {name}", f"{other} has them") for other, n in known.items()]
        for cell in member.cells:
            first.setdefault(cell.slug, name)
            cells.setdefault(cell.slug, cell)
    by_arm = frozenset().union(*(member.rates_by_arm for member in members.values()))
    each = {name: member.cells for name, member in members.items()}
    return Grid(path.stem, path, file, tuple(cells.values()), tuple(skips), by_arm, each)


def _is_tuned(cell: Cell, file: GridFile, path: Path) -> bool:
    """Whether the learning rate of the cell's arm is chosen by tuning runs, if there are any."""
    return file.tuning is None or matches(cell, file.tuning.where, f"{path}: tuning")


def _check_name(path: Path) -> None:
    # It becomes a folder of the results and the reports: `...yaml` would be the one above them.
    if not re.fullmatch(r"\w[\w+. -]*", path.stem) or path.stem in RESERVED:
        raise UserError(
            f"{path}: {path.stem!r} is no name for a grid; it begins with a letter or a digit, "
            f"goes on with those and ' +.-_', and is none of {', '.join(RESERVED)}"
        )


def _load(path: Path, file: GridFile) -> Grid:
    """The cells that the file itself names, with the learning rates of its arms if it has them."""
    _check_name(path)
    grid = Grid(path.stem, path, file, ())
    rates: LearningRates | ListedRates | None = None
    if grid.learning_rates is not None:
        rates = read_learning_rates(grid.learning_rates)
    elif isinstance(file.learning_rates, list):
        rates = ListedRates(path, tuple(file.learning_rates))
    folder = path.parent.parent
    recipes: dict[str, tuple[Path, Recipe]] = {}
    check_fields((exclusion.where for exclusion in file.exclude), f"{path}: exclude")
    if file.tuning is not None:
        check_fields([file.tuning.where], f"{path}: tuning")
    cells: dict[str, Cell] = {}
    skips: dict[tuple[str, str], int] = {}
    for fields in combinations(file):
        name = fields.pop("recipe")
        if name not in recipes:
            found = find_file("recipes", name, folder)
            recipes[name] = found, read_recipe(found)
        recipe_path, recipe = recipes[name]
        try:
            fields, collapsed = collapse(fields)
            data = apply_recipe(fields, recipe, folder)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        cell = make_cell(data, f"{path} with {recipe_path.name}")
        if DATASETS[cell.dataset.name].facts.get("benchmark_only"):
            raise UserError(
                f"{path}: dataset {cell.dataset.name!r} is made up for tests and benchmarks, and "
                "belongs in no table: no grid takes it"
            )
        try:
            excluded = next((e for e in file.exclude if matches(cell, e.where, "exclude")), None)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        if excluded is not None:
            key = (told(excluded.where), excluded.reason)
            skips[key] = skips.get(key, 0) + 1
            continue
        if isinstance(rates, ListedRates) or (rates is not None and _is_tuned(cell, file, path)):
            cell = rates.given(cell)
        if cell.slug in cells:
            reason = "it has no sparsity: one cell for all of them" if collapsed else "a duplicate"
            key = (f"method {cell.method.name}" if collapsed else cell.slug, reason)
            skips[key] = skips.get(key, 0) + 1
        else:
            for source in reversed(list(sources(cell))):
                cells.setdefault(source.slug, source)
            cells[cell.slug] = cell
    if not cells:
        raise UserError(f"{path}: no cell is left")
    for cell in added_cells(path, list(cells.values()), rates is not None):
        cells.setdefault(cell.slug, cell)
    if file.tuning is not None:
        check_seeds(cells.values(), file.tuning.seeds, str(path))
    if isinstance(rates, LearningRates):
        check_seeds(cells.values(), rates.seeds, f"{path} with {rates.path}")
    listed = tuple(Skip(count, what, reason) for (what, reason), count in skips.items())
    tuned = frozenset(cells) if rates is not None else frozenset()
    return Grid(path.stem, path, file, tuple(cells.values()), listed, tuned)
