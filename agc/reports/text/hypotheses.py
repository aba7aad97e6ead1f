"""What a study found, hypothesis by hypothesis, and the ten systems that its suite is about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agc.errors import UserError, unknown
from agc.grids.axes import AXES
from agc.reports.entries import AXIS, BASE, ENTRY, named_lines
from agc.reports.findings import hypotheses
from agc.reports.hypotheses.shared.units import MEASURES
from agc.reports.predictions import read_steps, summarize
from agc.reports.solvers import conclusion
from agc.reports.tables.hypotheses import FILE
from agc.reports.tables.predictions import found_here
from agc.reports.tables.solvers import SYSTEM
from agc.reports.tables.systems import read_systems
from agc.reports.tables.write import load_comparison
from agc.reports.text.study import items, table, unescaped_links
from agc.reports.verdict import measured, verdict

if TYPE_CHECKING:
    import pandas as pd

HEADER = ["system", "source", "the paper claims", "measured by", "found here", "report"]
NOT_YET = "not studied yet"
NO_VERDICT = "no verdict on the claim"


def answers(reports: Path, name: str, *keys: str) -> str:
    """A line for each of these hypotheses: its question, what it came to, and by what estimate.

    Raises:
        UserError: the study has no such hypothesis.
    """
    parts = _parts(reports / name)
    asked = {hypothesis.key: hypothesis.asks for hypothesis in hypotheses()}
    for key in keys:
        if key not in asked:
            raise unknown("hypothesis", key, asked)
    return items([f"{asked[key]} {_conclusion(parts[parts['key'] == key])}." for key in keys])


def systems(reports: Path) -> str:
    """All systems in a table; what is found is by the study's hypothesis, where one asks it."""
    rows = []
    for line in read_systems():
        name, key = line["report"], line["hypothesis"]
        there = bool(name) and (reports / name / "README.md").is_file()
        found = NOT_YET
        if there and key:
            parts = _parts(reports / name)
            found = _conclusion(parts[parts["key"] == key])
        elif there and (steps := read_steps(reports / name)) is not None:
            found = found_here(summarize(steps))
        elif there:
            found = _found(reports / name, line)
        rows.append(
            [
                *(line[column] for column in ("system", "source", "claim")),
                line["measure"] or "–",
                found,
                f"[{name}](reports/{name}/README.md)" if there else "–",
            ]
        )
    return unescaped_links(table(HEADER, rows, labels=len(HEADER)))


def _conclusion(parts: pd.DataFrame) -> str:
    """``open: agc - none +0.12 [-0.30, +0.54] points``: the word, and what decides."""
    texts = []
    for part in parts[parts["deciding"]].itertuples():
        ends = (part.low, part.high, part.low90, part.high90)
        judged = verdict(*ends, part.margin, MEASURES[part.unit])
        texts.append(f"{part.what} {measured(part.value, judged)}")
    word = str(parts["hypothesis"].iloc[0])
    return f"{word}: {'; '.join(texts)}" if texts else word


def _found(folder: Path, line: dict[str, str]) -> str:
    """What a grid's report says of a system: by its entry, or by its solver."""
    comparison = load_comparison(folder)
    if line["system"] == SYSTEM and comparison.solvers is not None:
        return conclusion(comparison.solvers)
    if not line["entry"] or comparison.entries is None:
        return NO_VERDICT
    return _arms(comparison.entries, line["arms"].split("; "))


def _arms(entries: pd.DataFrame, arms: list[str]) -> str:
    """The verdicts of the pooled differences of an entry's arms to the relative that it is measured
    by, or to the base of its axis if it names none.
    """
    own = entries[entries[ENTRY].isin(arms)]
    own = own[(own["measure"] == "accuracy") & (own["budget"] == "epochs")]
    relatives = own[BASE] != own[AXIS].map(lambda axis: AXES[axis].measure)
    lines = own[relatives] if relatives.any() else own
    texts = [
        f"{name}{f' against {line[BASE]}' if relatives.any() else ''}: {line['sentence']}"
        for name, line in named_lines(lines)
    ]
    return "; ".join(texts) or NO_VERDICT


def _parts(folder: Path) -> pd.DataFrame:
    import pandas as pd

    path = folder / FILE
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
