"""The files, and the commands that draw and check them anew."""

from __future__ import annotations

from agc.reports.pages.base import SECTIONS, Context
from agc.reports.pages.shared.blocks import Block, Code, Items
from agc.reports.pages.shared.render import wrapped
from agc.reports.tables.hypotheses import FILE
from agc.reports.tables.readme import FILES, LADDER


@SECTIONS.register("files", place=14, title="Files")
def files(context: Context) -> list[Block]:
    """What each file has, and two commands."""
    name = context.name
    lines = [line.removeprefix("- ") for line in _lines(FILES + LADDER)]
    own = [f"`{FILE}`: every estimate of every hypothesis with every digit."]
    own.append("`report.html`: this page with all tables and figures in one file, drawn anew.")
    return [
        Items([*own, *lines]),
        wrapped("All of it is drawn from these files, without training:"),
        Code(f"agc compare {name} --from reports/{name}"),
        wrapped(
            "After training it anew (`agc plan` says how long that takes), this tells whether"
            " yours says the same within the margins:"
        ),
        Code(f"agc compare {name} --against reports/{name}"),
    ]


def _lines(text: str) -> list[str]:
    """Items of a Markdown list, each in one line."""
    return text.strip().replace("\n  ", " ").splitlines()
