"""``agc compare``: what it takes from the grid."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

import pandas as pd
import pytest
import yaml

from agc.reports import report
from tests.support.command_line import agc
from tests.support.project import GRID
from tests.support.records import collected, entry, write_cell


@pytest.mark.parametrize(("given", "expected"), [({"accuracy": 2.5}, 2.5), (None, 1.0)])
def test_verdicts_are_judged_by_the_grids_margin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, float] | None, expected: float
) -> None:
    monkeypatch.setattr(report, "write_figures", lambda *_: [])
    folders = [
        write_cell(tmp_path / "cells", correction=entry(name), seed=seed)
        for name in ("none", "agc")
        for seed in (0, 1)
    ]
    collected(folders, tmp_path / "reports" / "mine")
    content = {**GRID, "recipe": "digits"} | ({"margin": given} if given else {})
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    with chdir(tmp_path):
        done = agc("compare", "mine.yaml", "--from", "reports/mine")
        assert done.code == 0, done
        shown = agc("compare", "mine.yaml", "--show").out
    found = pd.read_csv(tmp_path / "reports" / "mine" / "pooled.csv")
    assert found["margin"].tolist() == [expected]
    for text in (done.out, shown):
        joined = " ".join(text.split())
        assert found["sentence"][0] in joined
