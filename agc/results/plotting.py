"""What the figures share: colours, fonts, names, and files that are the same bytes each time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agc.files import atomic_path
from agc.results.compare import PLAIN

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# Okabe and Ito's palette, which colour-blind readers can tell apart; the plain run is never
# another colour than the first.
PLAIN_COLOUR = "#555555"
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = ("-", "--", ":", "-.")
STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.4,
    # Without a fixed salt the ids in an SVG are random.
    "svg.hashsalt": "agc",
}


@contextmanager
def style() -> Iterator[None]:
    """The figures' settings, for the block alone."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def looks(corrections: list[str]) -> dict[str, dict[str, str]]:
    """Colour and line of each correction, the same in all figures of one grid."""
    others = sorted(set(corrections) - {PLAIN, ""})
    styles = {PLAIN: {"color": PLAIN_COLOUR, "linestyle": "-"}}
    for index, name in enumerate(others):
        round_, place = divmod(index, len(COLOURS))
        styles[name] = {"color": COLOURS[place], "linestyle": LINES[round_ % len(LINES)]}
    return styles


def file_stem(*parts: str) -> str:
    """A file name of the parts that are not empty; only letters, digits, dots and hyphens."""
    words = [re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-.") for part in parts]
    return "-".join(word for word in words if word)


def add_legend(figure: Figure, handles: list[Line2D], labels: list[str], title: str) -> None:
    """One legend above all panels, under the figure's title."""
    figure.legend(
        handles,
        labels,
        title=title,
        title_fontproperties={"weight": "bold", "size": 9},
        loc="outside upper center",
        ncols=min(5, len(labels)),
        frameon=False,
    )


def save(figure: Figure, out: Path, stem: str) -> list[Path]:
    """Write the figure as PNG (150 dpi) and SVG, without dates, and name both files."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    paths = []
    for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
        path = out / f"{stem}.{suffix}"
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=suffix, dpi=150, metadata=metadata)
        paths.append(path)
    return paths
