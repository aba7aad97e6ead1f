"""The ten systems of the suite: what each paper claims, and what has been found of it here."""

from __future__ import annotations

from pathlib import Path

from agc.reports.text.study import table, unescaped_links

SYSTEMS = Path(__file__).parents[1] / "tables" / "systems.csv"
"""A line for each claim: the paper's words in short, how it is measured here, and by what."""
HYPOTHESES = "hypotheses.csv"
HEADER = ["system", "source", "the paper claims", "measured by", "verdict", "report"]
NOT_YET = "not studied yet"
NO_VERDICT = "no verdict on the claim"


def systems(reports: Path) -> str:
    """All systems in a table; the verdict is that of the study's hypothesis, where one asks it."""
    import pandas as pd

    rows = []
    for line in pd.read_csv(SYSTEMS, keep_default_na=False).to_dict("records"):
        name = line["report"]
        there = bool(name) and (reports / name).is_dir()
        rows.append(
            [
                *(line[key] for key in ("system", "source", "claim")),
                line["measure"] or "–",
                _verdict(reports / name, line["hypothesis"]) if there else NOT_YET,
                f"[{name}](reports/{name}/README.md)" if there else "–",
            ]
        )
    return unescaped_links(table(HEADER, rows, labels=len(HEADER)))


def _verdict(folder: Path, hypothesis: str) -> str:
    """The estimate that decides a hypothesis, and its word; what the report does not judge."""
    import pandas as pd

    path = folder / HYPOTHESES
    if not hypothesis or not path.is_file():
        return NO_VERDICT if not hypothesis else NOT_YET
    found = pd.read_csv(path, keep_default_na=False)
    own = found[(found["hypothesis"] == hypothesis)]
    return str(own["summary"].iloc[0]) if len(own) else NOT_YET
