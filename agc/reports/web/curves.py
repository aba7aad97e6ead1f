"""Learning curves as SVG, a panel for each row of the tables, with the numbers to be read out."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agc.reports.arms import PLAIN
from agc.reports.curves import Curve
from agc.reports.figures.learning_curves import panels
from agc.reports.figures.style import Look
from agc.reports.labels import differing_parts, task_columns
from agc.reports.tables.formatting import sparsity
from agc.reports.web.tables import nice_step

if TYPE_CHECKING:
    import pandas as pd

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 8, 28
TICKS = 4
EARLY = 5
"""One epoch in so many is early: what comes after them has to fit into a panel."""
MOST_BANDS = 7
"""Lines of a panel that may each have a band; more would cover one another."""
DASHES = {"-": "", "--": "7 4", ":": "2 3", "-.": "7 3 2 3"}
WORDS = (
    "Validation accuracy in percent, mean over seeds; a band reaches from the lowest seed to the"
    " highest. Point at a panel, or focus it and use the arrow keys, to read an epoch's numbers."
)


class Line(NamedTuple):
    """One arm of a panel, [epochs] each; accuracies in percent."""

    name: str
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    units: NDArray[np.float64]
    seeds: int


def learning_curves(
    cells: pd.DataFrame, curves: dict[str, Curve], styles: dict[str, Look]
) -> list[str]:
    """A figure for each task, recipe, method and sparsity that has a finished run.

    Args:
        cells: a row for each cell, as collected.
        curves: of the finished ones, by slug.
        styles: colour and line of each correction.
    """
    keys = [*task_columns(cells.columns), "recipe"]
    varying = [key for key in keys if cells[key].nunique() > 1]
    recipes = differing_parts(cells["recipe"])
    figures = []
    for _, group in cells.groupby(keys, sort=True):
        first = group.iloc[0]
        for method, zeros in (panel for row in panels(group) for panel in row):
            own = group[(group["method"] == method) & (group["sparsity"] == zeros)]
            lines = _lines(own, curves)
            name = f"{method} {sparsity(zeros)}" if zeros else method
            task = [first[key] for key in varying if key != "recipe"]
            title = ", ".join(part for part in (name, *task, recipes[first["recipe"]]) if part)
            if lines:
                figures.append(_figure(title, lines, styles))
    return figures


def _lines(cells: pd.DataFrame, curves: dict[str, Curve]) -> list[Line]:
    found = []
    for name in sorted(set(cells["correction"]), key=lambda name: (name != PLAIN, name)):
        runs = [
            curves[slug]
            for slug in cells.loc[cells["correction"] == name, "slug"]
            if slug in curves
        ]
        if runs:
            values = 100 * np.stack([run.validation_accuracy for run in runs])
            units = np.stack([run.units for run in runs]).mean(axis=0)
            ends = values.min(axis=0), values.max(axis=0)
            found.append(Line(name, values.mean(axis=0), *ends, units, len(runs)))
    return found


def _figure(title: str, lines: list[Line], styles: dict[str, Look]) -> str:
    bottom, top = _limits(lines)
    last = max(len(line.mean) for line in lines)
    drawn = []
    for line in lines:
        colour, dash = styles[line.name]["color"], DASHES.get(styles[line.name]["linestyle"], "9 3")
        if len(lines) <= MOST_BANDS and line.seeds > 1:
            band = [*_path(line.high, last, bottom, top), *_path(line.low, last, bottom, top)[::-1]]
            drawn.append(f'<polygon points="{" ".join(band)}" fill="{colour}" opacity="0.13"/>')
        way = " ".join(_path(line.mean, last, bottom, top))
        drawn.append(
            f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="1.7"'
            f' stroke-dasharray="{dash}"/>'
        )
    ends = ", ".join(f"{line.name} {line.mean[-1]:.2f} %" for line in lines)
    label = html.escape(f"{title}: accuracy after the last epoch: {ends}", quote=True)
    data = [
        {
            "name": line.name,
            "mean": line.mean.round(2).tolist(),
            "units": line.units.round(1).tolist(),
        }
        for line in lines
    ]
    frame = {"left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM}
    told = json.dumps({"lines": data, "last": last, "low": bottom, "high": top, **frame})
    return (
        f'<figure class="curve"><figcaption>{html.escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}" tabindex="0">'
        f"{_axes(last, bottom, top)}{''.join(drawn)}</svg>"
        f'<ul class="legend">{"".join(_entry(line, styles) for line in lines)}</ul>'
        f'<output aria-live="polite"></output>'
        f'<script type="application/json">{_safe(told)}</script></figure>'
    )


def _safe(text: str) -> str:
    """JSON that cannot end the element it stands in."""
    return text.replace("<", "\\u003c")


def _entry(line: Line, styles: dict[str, Look]) -> str:
    look = styles[line.name]
    dash = DASHES.get(look["linestyle"], "9 3")
    sample = (
        f'<svg aria-hidden="true" width="26" height="8"><line x1="0" x2="26" y1="4" y2="4"'
        f' stroke="{look["color"]}" stroke-width="2" stroke-dasharray="{dash}"/></svg>'
    )
    return f"<li>{sample} {html.escape(line.name)}</li>"


def _limits(lines: list[Line]) -> tuple[float, float]:
    """Lowest and highest accuracy shown; the first steep epochs would flatten all that follows."""
    start = min(line.mean[len(line.mean) // EARLY :].min() for line in lines)
    end = max(line.high.max() for line in lines)
    step = nice_step(max(end - start, 0.5) / TICKS)
    return step * float(np.floor(start / step)), step * float(np.ceil(end / step))


def _path(values: NDArray[np.float64], last: int, bottom: float, top: float) -> list[str]:
    shown = np.clip(values, bottom, top)
    return [
        f"{_across(epoch, last):.1f},{_up(value, bottom, top):.1f}"
        for epoch, value in enumerate(shown, start=1)
        if value == value
    ]


def _across(epoch: float, last: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (epoch - 1) / max(1, last - 1)


def _up(value: float, bottom: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - bottom) / (top - bottom)


def _axes(last: int, bottom: float, top: float) -> str:
    parts: list[Any] = []
    step = nice_step((top - bottom) / (TICKS + 1))
    for value in np.arange(bottom, top + step / 2, step):
        y = _up(value, bottom, top)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(f'<text x="{LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{value:.4g}</text>')
    for epoch in sorted({1, *(round(last * share) for share in (0.25, 0.5, 0.75)), last} - {0}):
        x = _across(epoch, last)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 14}" text-anchor="middle">{epoch}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 2}" text-anchor="middle">epoch</text>')
    return "".join(parts)
