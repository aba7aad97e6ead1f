"""What a study found, hypothesis by hypothesis, and the ten systems that its suite is about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agc.errors import UserError, unknown
from agc.reports.entries import ENTRY
from agc.reports.findings import hypotheses
from agc.reports.hypotheses.shared.units import MEASURES
from agc.reports.predictions import read_steps, summarize
from agc.reports.tables.hypotheses import FILE
from agc.reports.tables.predictions import found_here
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
            found = _entry(reports / name, line["entry"]) if line["entry"] else NO_VERDICT
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


def _entry(folder: Path, name: str) -> str:
    """The verdicts of all pooled differences of an entry, with its options, to its default."""
    entries = load_comparison(folder).entries
    if entries is None:
        return NO_VERDICT
    own = entries[entries[ENTRY].str.partition("(")[0] == name]
    lines = own[(own["measure"] == "accuracy") & (own["budget"] == "epochs")]
    texts = [f"{line.entry}: {line.sentence}" for line in lines.itertuples()]
    return "; ".join(texts) or NO_VERDICT


def _parts(folder: Path) -> pd.DataFrame:
    import pandas as pd

    path = folder / FILE
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
