from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agc.reports.figures.solvers import draw_solvers
from agc.reports.figures.style import looks, style
from agc.reports.figures.where_due import write_where_due
from tests.support.attack_courses import CALLS, attacked_study, course
from tests.support.figure_problems import assert_all_on_the_canvas


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return attacked_study(tmp_path_factory.mktemp("solvers"))[0]


def test_a_line_is_a_solver_and_a_point_one_of_its_budgets(records: pd.DataFrame) -> None:
    with style():
        (figure,) = draw_solvers(records)
    assert_all_on_the_canvas(figure)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["standard\nrigl 90 %", "standard\nstatic 90 %"]
    for axis, method in zip(figure.axes, ("rigl", "static"), strict=True):
        assert axis.get_xscale() == "log"
        planted = course(method, 1)  # the mean of the three seeds
        goal, *lines = (line for line in axis.lines if len(line.get_xdata()) > 1)
        np.testing.assert_allclose(goal.get_ydata(), 2.01)
        for solver, line in zip(CALLS, lines, strict=True):
            expected = [row for row in planted if row["solver"] == solver]
            np.testing.assert_allclose(
                line.get_xdata(orig=False), [row["cell_calls"] for row in expected]
            )
            np.testing.assert_allclose(
                line.get_ydata(orig=False), [row["loss"] for row in expected]
            )
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["PGD", "JIIO", "loss of PGD-20"]


def test_other_networks_have_no_figure(records: pd.DataFrame, tmp_path: Path) -> None:
    other = records[records["architecture"] != "deq_tiny"]
    assert draw_solvers(other) == []
    styles = looks(list(records["correction"]))
    paths = write_where_due(records, pd.DataFrame(), tmp_path, styles)
    shown = [path for path in paths if path.parent == tmp_path]
    assert shown == [tmp_path / "solvers.png"]
    write_where_due(other, pd.DataFrame(), tmp_path, styles)
    assert not shown[0].exists()
