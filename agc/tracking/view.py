"""The view in which MLflow's page opens: which columns, in which order, by which address.

MLflow keeps a shared view in a tag of the experiment, as JSON in the terms of its page's source
(``ExperimentPageUIState`` and ``ExperimentPageSearchFacetsState``). Arms are parent runs, since the
page nests runs only while they are ordered by time, and averages only those that it has loaded.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from agc.grids.axes import AXES
from agc.tracking.names import Arm

KEY = "arms"
TAG = f"mlflow.sharedViewState.{KEY}"
NAME = "Arms with their verdicts"
LIMIT = 5000
"""Letters that MLflow keeps of an experiment's tag."""
NAME_WIDTH = 320
"""Of the column of names, in pixels: that of 40 letters."""
METRICS = (
    *("final.test_accuracy", "final.robust_accuracy"),
    *("difference", "difference.low", "difference.high"),
    *("costs.units", "seconds.train"),
)
FIRST = ("method", "sparsity", "correction", "objective")
"""Parameters that always have a column."""


def columns(arms: Iterable[Arm], metrics: Collection[str]) -> list[str]:
    """Columns of the table as MLflow names them.

    Args:
        arms: of the grid.
        metrics: names of those that its runs have.
    """
    labels = [arm.labels for arm in arms]
    varying = [
        axis
        for axis in AXES.values()
        if axis.name not in FIRST
        and (axis.since or len({label.get(axis.name) for label in labels}) > 1)
    ]
    parameters = [*FIRST, *(".".join(axis.path) for axis in varying), "seed"]
    return [
        "attributes.`Dataset`",
        *(f"metrics.`{name}`" for name in METRICS if name in metrics),
        *(f"params.`{name}`" for name in parameters),
        "tags.`verdict`",
    ]


def view_state(shown: list[str]) -> str:
    """Value of the tag :data:`TAG` for a table with these columns.

    The page puts it in place of its own state, so nothing of that may be missing. A newer MLflow
    lists it among the saved views, by the name and with the state of an envelope around it.
    """
    state: dict[str, Any] = {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": shown,
        "columnOrder": [],
        "columnWidths": {"attributes.`Run Name`": NAME_WIDTH},
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "FIRST_20_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
    }
    envelope = {"name": NAME, "createdAt": 0, "state": _json(state)}
    both = _json(state | envelope)
    return both if len(both) <= LIMIT else _json(state)


def address(server: str, experiment: str) -> str:
    """Where a browser finds the view.

    Args:
        server: address of the page, as ``http://127.0.0.1:5000``.
        experiment: its identifier.
    """
    query = f"workflowType=machine_learning&compareRunsMode=TABLE&viewStateShareKey={KEY}"
    return f"{server.rstrip('/')}/#/experiments/{experiment}/runs?{query}"


def run_address(server: str, experiment: str, run: str) -> str:
    """Where a browser finds a run."""
    place = f"{server.rstrip('/')}/#/experiments/{experiment}/runs/{run}"
    return f"{place}?workflowType=machine_learning"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
