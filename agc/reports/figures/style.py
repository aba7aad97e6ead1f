"""What the figures share: colours, fonts, names, and files that are the same bytes each time."""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc.files import atomic_path
from agc.reports.arms import PLAIN, is_placebo

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

Look = dict[str, Any]
# Okabe and Ito's palette, which colour-blind readers can tell apart; the plain run is never
# another colour than the first.
PLAIN_COLOUR = "#555555"
PLACEBO_LOOK = {"color": "#8a8a8a", "linestyle": (0, (2, 1)), "marker": "P"}
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "X")
LINES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (6, 1.5, 1, 1.5, 1, 1.5)), (0, (9, 2)))
MOST_LEGEND_COLUMNS = 8
RESOLUTION = 150
"""Dots per inch of a PNG."""
# Between a legend and the edge of the figure, in inches.
EDGE = 0.15
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


def looks(corrections: list[str]) -> dict[str, Look]:
    """Colour, line and marker of each correction, the same in all figures of one grid.

    Line and marker together are another pair for each of the first 36 corrections, so that they
    are told apart without the colour as well; looks repeat from there. The plain run has no marker,
    and a placebo is grey as well.
    """
    placebos = {name for name in corrections if is_placebo(name)}
    others = sorted(set(corrections) - {PLAIN, ""} - placebos)
    styles: dict[str, Look] = {PLAIN: {"color": PLAIN_COLOUR, "linestyle": "-", "marker": ""}}
    for index, name in enumerate(others):
        round_, place = divmod(index, len(COLOURS))
        styles[name] = {
            "color": COLOURS[place],
            "linestyle": LINES[round_ % len(LINES)],
            "marker": MARKERS[(place + round_) % len(MARKERS)],
        }
    return styles | {name: dict(PLACEBO_LOOK) for name in sorted(placebos)}


def file_stem(*parts: str) -> str:
    """A file name of the parts that are not empty; only letters, digits, dots and hyphens."""
    words = [re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-.") for part in parts]
    return "-".join(word for word in words if word)


def add_legend(figure: Figure, handles: Sequence[Artist], labels: list[str], title: str) -> None:
    """One legend above all panels, under the figure's title, in as few rows as its width allows.

    The figure grows by the height of both, so that the panels keep theirs, and becomes wider if
    the longest label does not fit. Call it when the figure's width is settled.
    """
    room = figure.get_figwidth() - 2 * EDGE
    text = {"weight": "bold", "size": 9}
    # Less the legend's own edges.
    title = fit(figure, title, room - EDGE, **text)
    number = len(labels)
    rows = {math.ceil(number / most) for most in range(1, MOST_LEGEND_COLUMNS + 1)}
    for columns in sorted({math.ceil(number / each) for each in rows}, reverse=True):
        legend = figure.legend(
            handles,
            labels,
            title=title,
            title_fontproperties=text,
            loc="outside upper center",
            ncols=columns,
            # Long enough for a whole dash on both sides of a marker.
            handlelength=3.2,
            frameon=False,
        )
        extent = legend.get_window_extent(_renderer(figure))
        if extent.width <= room * figure.dpi or columns == 1:
            break
        legend.remove()
    width, height = extent.width / figure.dpi, extent.height / figure.dpi
    figure.set_size_inches(max(room, width) + 2 * EDGE, figure.get_figheight() + height)


def text_width(figure: Figure, text: str, **font: Any) -> float:
    """Width of a text in inches, that of its widest line."""
    artist = figure.text(0, 0, text, **font)
    width = artist.get_window_extent(_renderer(figure)).width / figure.dpi
    artist.remove()
    return width


def fit(figure: Figure, text: str, room: float, **font: Any) -> str:
    """The text in as many lines as it needs to be at most ``room`` inches wide."""
    width = text_width(figure, text, **font)
    # Not all letters are as wide as the text's average one.
    letters, lines = int(1.3 * len(text) * room / max(width, room)), text
    while letters > 0 and text_width(figure, lines, **font) > room:
        lines = textwrap.fill(text, letters, break_on_hyphens=False)
        letters -= 1
    return lines


def _renderer(figure: Figure) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    return FigureCanvasAgg(figure).get_renderer()


def save(figure: Figure, out: Path, stem: str, shown: Path | None = None) -> list[Path]:
    """Write the figure as PNG (150 dpi, 256 colours) and SVG, without dates, and name both files.

    Args:
        figure: what to write.
        out: the folder.
        stem: name of the files without their ending.
        shown: the PNG's folder, if it is another one.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    with atomic_path((shown or out) / f"{stem}.png") as temporary:
        _save_png(figure, temporary)
    with atomic_path(out / f"{stem}.svg") as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    return [(shown or out) / f"{stem}.png", out / f"{stem}.svg"]


def _save_png(figure: Figure, path: Path) -> None:
    """A PNG with a palette: a third of the bytes, which nobody sees in lines and letters."""
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=RESOLUTION)
    with Image.open(drawn) as image:
        colours = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    colours.save(path, format="PNG", optimize=True, dpi=(RESOLUTION, RESOLUTION))
