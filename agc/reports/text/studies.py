"""What the studies are: their questions, their sizes and what they took."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agc.grids.files import GridFile, read_file
from agc.grids.grid import load_grid
from agc.places import find_file
from agc.planning.prediction import estimate
from agc.reports.text.study import (
    load_study,
    paragraph,
    span,
    study_names,
    table,
    unescaped_links,
)

if TYPE_CHECKING:
    import pandas as pd

HEADER = ["study", "question", "cells", "data", "network", "epochs", "seeds", "core-minutes"]


def studies(reports: Path) -> str:
    """All studies of the folder, each with what its grid says of itself, and its size."""
    rows = []
    for name in study_names(reports):
        records = load_study(reports, name).records
        rows.append(
            [
                f"[{name}]({name}/README.md)",
                read_file(find_file("grids", name), GridFile).description,
                str(len(records)),
                ", ".join(sorted(set(records["dataset"]))),
                ", ".join(sorted(set(records["architecture"]))),
                _epochs(records),
                str(records["seed"].nunique()),
                _minutes(records),
            ]
        )
    return unescaped_links(table(HEADER, rows, labels=2))


def demo(reports: Path, name: str) -> str:
    """What the first command of the README does, and what it took where the report was made."""
    study = load_study(reports, name)
    records, machines = study.records, study.provenance["machines"]
    places = " and ".join(
        sorted(
            {", ".join(filter(None, (m["cpu"], m.get("instruction_set", "")))) for m in machines}
        )
    )
    return paragraph(
        f"The demo trains the {len(records)} cells of the grid `{name}` on scikit-learn's"
        " handwritten digits, without a download of data or a GPU, and prints what they say."
        f"{_expected(name)} For its report they took {_minutes(records)} ({places}, idle or not); a"
        " CPU with a smaller instruction set, or a busy one, takes longer. Run again, it does"
        " nothing and says so."
    )


def _expected(name: str) -> str:
    """What `agc plan` expects of a machine on which no cell has been trained, as a sentence."""
    expected = estimate(load_grid(name), Path("nothing is finished here"))
    if expected.cpu_seconds is None:
        return ""
    return (
        f" It is expected to take {expected.cpu_seconds / 60:.0f} minutes of one idle core, which"
        f" all cores share ({expected.source})."
    )


def _epochs(records: pd.DataFrame) -> str:
    """Epochs of corrected runs and of plain ones like them; longer plain runs as their longest."""
    usual = records.loc[records["correction"] != "none", "epochs"]
    usual = usual if len(usual) else records["epochs"]
    longest = records["epochs"].max()
    text = span([float(usual.min()), float(usual.max())], 0)
    return text if longest == usual.max() else f"{text}; plain also up to {longest}"


def _minutes(records: pd.DataFrame) -> str:
    return f"{records['seconds_total'].sum() / 60:.0f}"
