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
FIXED = {"0": 73, "attributes.`Run Name`": 230, "runDateAndNestInfo": 110}
"""The page's own first columns, as it calls them, with their widths in pixels."""
WIDTHS = {"tags": 160, "metrics": 120, "params": 105, "attributes": 110}
"""Least widths of the others, by their kind."""
LETTER, EDGES = 7.2, 26
"""Pixels of a letter of a heading, and of what stands left and right of it."""
PLAIN, ROBUST = "standard", "final.robust_accuracy"
"""How robust plainly trained networks are is nobody's question."""
METRICS = (
    *("final.test_accuracy", ROBUST),
    *("difference", "difference.low", "difference.high"),
    *("robust_difference", "robust_difference.low", "robust_difference.high"),
)
COSTS = ("costs.units", "seconds.train")
FIRST = ("method", "sparsity", "correction", "objective")
"""Parameters that always have a column."""


def columns(arms: Iterable[Arm], metrics: Collection[str]) -> list[str]:
    """Columns of the table as MLflow names them, the answer first.

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
    plain = all(label.get("objective") == PLAIN for label in labels)
    measured = {*metrics} - ({ROBUST} if plain else set())
    parameters = [*FIRST, *(".".join(axis.path) for axis in varying), "seed"]
    return [
        "tags.`verdict`",
        *(f"metrics.`{name}`" for name in METRICS if name in measured),
        *(f"params.`{name}`" for name in parameters),
        *(f"metrics.`{name}`" for name in COSTS if name in metrics),
        "attributes.`Dataset`",
    ]


def view_state(shown: list[str]) -> str:
    """Value of the tag :data:`TAG` for a table with these columns.

    The page puts it in place of its own state, so nothing of that may be missing. A newer MLflow
    lists it among the saved views, by the name and with the state of an envelope around it. An
    older one knows neither these nor the columns' order and widths, and shows them by kind.
    """
    own = {name: _width(name) for name in shown}
    state: dict[str, Any] = {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": shown,
        "columnOrder": [*FIXED, *shown],
        "columnWidths": FIXED | own,
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


def _width(column: str) -> int:
    """Pixels that a column's heading takes."""
    kind, _, name = column.partition(".")
    return max(WIDTHS[kind], round(LETTER * len(name.strip("`")) + EDGES))


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
