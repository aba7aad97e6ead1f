"""Every estimate of every hypothesis as a forest: points in one panel, ratios in another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agc.reports.figures.style import save, style
from agc.reports.hypotheses.base import Finding
from agc.reports.hypotheses.shared.parts import Part
from agc.reports.verdict import measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEM = "hypotheses"
WIDTH, LINE, HEAD, LABELS = 6.0, 0.155, 0.75, 0.47
"""In inches: a page of 900 points at 150 dots an inch, a line, what a panel has beside its lines;
and the share of the width that labels have."""
GAP = 0.95
"""Before each hypothesis, for its name, in lines."""
LONGEST = 46
"""Letters of a label, as many as fit beside the panel."""
DECIDES, BESIDE, BAND, RULE = "#0072B2", "#8a8a8a", "#f3e3c3", "#D55E00"
REACH = 4.0
"""How far an axis goes, in the usual margin, at most; an estimate beyond is an arrow."""
TICKS = (0.25, 0.5, 0.8, 1, 1.25, 2, 4)


class Line(NamedTuple):
    """A part, its hypothesis, and whether it is the first of that."""

    key: str
    word: str
    part: Part
    first: bool


def draw_hypotheses(findings: Sequence[Finding]) -> Figure | None:
    """The forest, with a panel for each kind of unit that an estimate has; None without any.

    The thick line is the 90 % interval, the thin one that of 95 %; the band is the margin within
    which an effect does not matter, and the short line the bound that the rule compares with.
    """
    from matplotlib.figure import Figure

    lines = _lines(findings)
    groups = [[line for line in lines if line.part.measure.ratio == ratio] for ratio in (0, 1)]
    groups = [group for group in groups if group]
    if not groups:
        return None
    rows = [len(group) + GAP * sum(line.first for line in group) for group in groups]
    height = sum(rows) * LINE + HEAD * len(groups) + 0.12
    figure = Figure(figsize=(WIDTH, height))
    top = height - 0.45
    for group, count in zip(groups, rows, strict=True):
        bottom = top - count * LINE
        box = (LABELS, bottom / height, 0.98 - LABELS, count * LINE / height)
        _draw(figure.add_axes(box), group)
        top = bottom - HEAD
    figure.text(0.01, 1 - 0.1 / height, _title(), va="top", fontsize=7.5)
    return figure


def write_hypotheses(findings: Sequence[Finding], out: Path) -> list[Path]:
    """Write ``hypotheses.png`` into ``out`` and the SVG into ``out/figures``; returns the files."""
    with style():
        figure = draw_hypotheses(findings)
        return [] if figure is None else save(figure, out / "figures", STEM, out)


def _lines(findings: Sequence[Finding]) -> list[Line]:
    lines = []
    for found in findings:
        seen: set[bool] = set()
        for part in sorted(found.parts, key=lambda part: not part.deciding):
            if np.isnan(part.bounds).any():
                continue
            ratio = part.measure.ratio
            lines.append(Line(found.hypothesis.key, found.word, part, ratio not in seen))
            seen.add(ratio)
    return lines


def _draw(axis: Axes, group: list[Line]) -> None:
    """A panel; one measure has a factor for all its lines."""
    ratio = _ratio(group)
    place, places = 0.0, []
    for line in group:
        place += 1 + GAP * line.first
        places.append(place)
    limits = _limits(group)
    for line, y in zip(group, places, strict=True):
        _draw_line(axis, line, y, limits)
    axis.set_ylim(place + 0.7, 0.4)
    axis.set_xlim(limits)
    axis.axvline(1 if ratio else 0, color="#333333", linewidth=0.8, zorder=1)
    axis.set_yticks(places, [_label(line.part) for line in group])
    axis.tick_params(axis="y", length=0, labelsize=6.8)
    axis.grid(axis="y", visible=False)
    if ratio:
        _ticks(axis, limits)
    axis.set_xlabel("ratio, logarithmic" if ratio else "percentage points")
    for line, y in zip(group, places, strict=True):
        if line.first:
            where = {"transform": axis.get_yaxis_transform(), "fontsize": 7, "va": "center"}
            text = f"{line.key}: {line.word}"
            axis.text(-(LABELS - 0.01) / (0.98 - LABELS), y - 0.95, text, weight="bold", **where)


def _draw_line(axis: Axes, line: Line, y: float, limits: tuple[float, float]) -> None:
    part = line.part
    scale = part.measure.factor
    value, low, high, low90, high90 = (
        float(np.clip(scale * end, *limits)) for end in (part.value, *part.bounds)
    )
    colour = DECIDES if part.deciding else BESIDE
    margin = scale * part.margin
    band = (margin, 1 / margin) if part.measure.ratio else (-margin, margin)
    axis.fill_betweenx([y - 0.42, y + 0.42], *band, color=BAND, linewidth=0, zorder=0)
    axis.plot([low, high], [y, y], color=colour, linewidth=1.0, zorder=2)
    axis.plot([low90, high90], [y, y], color=colour, linewidth=2.6, zorder=3)
    marker = "o" if part.deciding else "s"
    if limits[0] < scale * part.value < limits[1]:
        axis.plot(
            [value], [y], marker, color=colour, markersize=4.2, zorder=4, mec="white", mew=0.6
        )
    else:
        _point_outside(axis, part, y, colour, limits)
    for bound in part.compared:
        axis.plot([scale * bound] * 2, [y - 0.42, y + 0.42], color=RULE, linewidth=1.3, zorder=1)


def _point_outside(
    axis: Axes, part: Part, y: float, colour: str, limits: tuple[float, float]
) -> None:
    """An arrow at the edge that an estimate lies beyond, and its number."""
    right = part.measure.factor * part.value >= limits[1]
    edge = limits[1] if right else limits[0]
    axis.plot([edge], [y], ">" if right else "<", color=colour, markersize=5, clip_on=False)
    number = measured(part.value, part.verdict).partition(" [")[0]
    number += f" {part.measure.unit}" * part.measure.ratio
    offset = (-6 if right else 6, 0)
    axis.annotate(
        number,
        (edge, y),
        offset,
        textcoords="offset points",
        ha="right" if right else "left",
        va="center",
        fontsize=7,
        color=colour,
        zorder=5,
        # An interval that begins within the axis runs through the number.
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
    )


def _limits(group: list[Line]) -> tuple[float, float]:
    """Both ends of a panel, equally far from no difference: all intervals, but no further than a
    few of the usual margins, within which one sees what decides.
    """
    ends = [end for line in group for end in _scaled(line.part, line.part.bounds)]
    margins = [abs(end) for line in group for end in _scaled(line.part, (line.part.margin,))]
    reach = min(REACH * float(np.median(margins)), 1.06 * max(map(abs, [*ends, *margins])))
    reach = max(reach, 1.06 * max(margins))
    return (float(np.exp(-reach)), float(np.exp(reach))) if _ratio(group) else (-reach, reach)


def _scaled(part: Part, values: Sequence[float]) -> list[float]:
    """In points, or as logarithms of ratios."""
    with np.errstate(divide="ignore"):
        found = np.log(values) if part.measure.ratio else part.measure.factor * np.array(values)
    return found.tolist()


def _ratio(group: list[Line]) -> bool:
    return group[0].part.measure.ratio


def _ticks(axis: Axes, limits: tuple[float, float]) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    axis.set_xscale("log")
    axis.set_xlim(limits)
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())
    ticks = [tick for tick in TICKS if limits[0] < tick < limits[1]]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])


def _label(part: Part) -> str:
    text = part.what
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1].rstrip()}…"


def _title() -> str:
    return (
        "Thick: 90 %, thin: 95 % interval. Blue: decides; grey: stands beside. Band: what does not"
        " matter.\nRed: the rule's bounds. An arrow: beyond the axis."
    )
