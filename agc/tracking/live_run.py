"""What a run of the live view holds already, and whether the record goes on from there."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from agc.tracking.content import Content

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def logged(client: MlflowClient, run: Run) -> Counter[tuple[str, int]]:
    """How often each metric was logged at each step."""
    return Counter((name, step) for name, step, _ in _history(client, run))


def continues(client: MlflowClient, run: Run, content: Content) -> bool:
    """Whether everything in the run is in the record as well, each point once.

    It is not if the cell was trained again from its start, on another device, after the live view
    had begun: such a run cannot be completed, since MLflow never takes a point back.
    """
    wanted = {(p.name, p.step): repr(p.value) for p in content.points}
    held = _history(client, run)
    once = len({(name, step) for name, step, _ in held}) == len(held)
    # As text: NaN equals itself then.
    same = all(wanted.get((name, step)) == repr(value) for name, step, value in held)
    return once and same and run.data.params.items() <= content.parameters.items()


def _history(client: MlflowClient, run: Run) -> list[tuple[str, int, float]]:
    return [
        (point.key, point.step, float(point.value))
        for name in run.data.metrics
        for point in client.get_metric_history(run.info.run_id, name)
    ]
