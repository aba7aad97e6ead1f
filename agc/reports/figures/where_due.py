"""Figures that only some grids have something to draw for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agc.reports.figures.bit_flops import draw_bit_flops
from agc.reports.figures.bits import draw_bits
from agc.reports.figures.gamma import draw_gammas
from agc.reports.figures.ladder import draw_ladders
from agc.reports.figures.learning_rates import draw_learning_rates
from agc.reports.figures.profile import draw_profile
from agc.reports.figures.solvers import draw_solvers
from agc.reports.figures.stages import draw_stages
from agc.reports.figures.style import Look, save

if TYPE_CHECKING:
    import pandas as pd

SHOWN = ("ladder", "bits", "weighted-flops", "stages", "solvers")
"""Of these, the ones that a study shows on its page."""


def write_where_due(
    records: pd.DataFrame, epochs: pd.DataFrame, out: Path, styles: dict[str, Look]
) -> list[Path]:
    """Write ``ladder``, ``learning-rates``, ``gamma``, ``profile``, ``bits``, ``weighted-flops``,
    ``stages`` and ``solvers`` where a grid has them.

    What does not fit on a page is cut into parts, ``…-1``, ``…-2``. The first page of those in
    ``SHOWN`` is in ``out`` itself as PNG, from where one of a former study is removed.

    Args:
        records: a row for each cell, as collected.
        epochs: a row for each cell and epoch, as collected.
        out: folder of the report; the others are in ``out/figures``.
        styles: colour, line and marker of each correction.
    """
    drawn = {
        "ladder": draw_ladders(records, styles),
        "learning-rates": draw_learning_rates(records, styles),
        "gamma": draw_gammas(records),
        "profile": draw_profile(records),
        "bits": draw_bits(records),
        "weighted-flops": draw_bit_flops(records),
        "stages": draw_stages(records, epochs),
        "solvers": draw_solvers(records),
    }
    paths = []
    for stem, figures in drawn.items():
        for part, figure in enumerate(figures, start=1):
            name = stem if len(figures) == 1 else f"{stem}-{part}"
            shown = out if stem in SHOWN and part == 1 else None
            paths += save(figure, out / "figures", name, shown)
    for old in {path for stem in SHOWN for path in out.glob(f"{stem}*.png")} - {*paths}:
        old.unlink()
    return paths
