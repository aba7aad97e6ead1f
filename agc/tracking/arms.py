"""The run of an arm: means over its cells, its verdict, and the grid's plots and tables as files.

It is the parent of its cells' runs. Like theirs it is written once and for all: where its cells or
the report have changed, another one takes its place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from agc.grids.axes import AXES
from agc.tracking.content import cut_parameters, summary
from agc.tracking.inputs import dataset_input
from agc.tracking.names import Arm
from agc.tracking.plan import DIGEST
from agc.tracking.told import Told
from agc.tracking.writing import METRICS_A_CALL, chunks

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

ARM = "agc.arm"
"""Tag with an arm's name: of its own run, and of its cells' runs."""
PARENT = "mlflow.parentRunId"
REVISION = 2
"""Raised when the same cells and report are to make another run."""


@dataclass(frozen=True)
class ArmContent:
    """The run of an arm; ``moment`` in milliseconds since 1970."""

    name: str
    dataset: dict[str, Any]
    parameters: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    files: list[Path]
    moment: int

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, the files' content included."""
        told = [REVISION, self.name, self.dataset, self.parameters, self.metrics, self.tags]
        total = hashlib.sha256(json.dumps([*told, self.moment], sort_keys=True).encode())
        for path in self.files:
            total.update(f"\n{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
        return total.hexdigest()


def arm_contents(
    grid: str, arms: Sequence[Arm], records: Mapping[str, dict[str, Any]], told: Told | None
) -> list[ArmContent]:
    """The runs of those arms that have a finished cell.

    The page orders runs by their time, the latest first. So they begin when the grid's last cell
    had ended, a millisecond apart in the order of the tables.

    Args:
        grid: its name.
        arms: of the grid, in the order of its tables.
        records: of its finished cells, by slug.
        told: what the report says of them.
    """
    known = [arm for arm in arms if any(slug in records for slug in arm.slugs.values())]
    ended = max((_moment(record) for record in records.values()), default=0)
    return [
        _content(grid, arm, records, told, ended + len(known) - place)
        for place, arm in enumerate(known)
    ]


def _content(
    grid: str, arm: Arm, records: Mapping[str, dict[str, Any]], told: Told | None, moment: int
) -> ArmContent:
    mine = [records[slug] for slug in arm.slugs.values() if slug in records]
    row = None if told is None else told.row(arm)
    values: dict[str, list[float]] = {}
    for record in mine:
        for name, value in summary(record).items():
            values.setdefault(name, []).append(value)
    diverged = sum(record["status"] == "diverged" for record in mine)
    tags = {
        **{ARM: arm.name, "agc.grid": grid, "agc.cells": f"{len(mine)} of {len(arm.slugs)}"},
        **{"mlflow.source.name": "agc", "mlflow.source.type": "LOCAL"},
        **({"agc.diverged": str(diverged)} if diverged else {}),
        **({} if row is None else {"verdict": told.verdict(row)}),
    }
    return ArmContent(
        name=arm.name,
        # Cells of an arm differ in their seed alone.
        dataset=mine[0]["cell"]["dataset"],
        parameters=_parameters(arm, len(mine)),
        metrics={name: _short(fmean(own)) for name, own in values.items()}
        | ({} if row is None else told.estimates(row)),
        tags=tags,
        files=[] if told is None else told.files,
        moment=moment,
    )


def _parameters(arm: Arm, cells: int) -> dict[str, str]:
    """Named as those of the cells, so that a column has both."""
    named = {".".join(axis.path): arm.labels.get(axis.name, axis.default) for axis in AXES.values()}
    seeds = f"{cells} seed{'' if cells == 1 else 's'}"
    return cut_parameters({**named, "sparsity": json.dumps(arm.sparsity), "seed": seeds})


def write_arm(client: MlflowClient, experiment: Experiment, content: ArmContent) -> str:
    """Write the run of an arm and mark it as whole last; its identifier."""
    from mlflow.entities import Metric, Param

    run = client.create_run(
        experiment.experiment_id,
        start_time=content.moment,
        tags=content.tags | {DIGEST: content.digest},
        run_name=content.name,
    )
    metrics = [Metric(name, value, content.moment, 0) for name, value in content.metrics.items()]
    for some in chunks(metrics, METRICS_A_CALL):
        client.log_batch(run.info.run_id, metrics=some)
    parameters = [Param(name, value) for name, value in content.parameters.items()]
    client.log_batch(run.info.run_id, params=parameters)
    client.log_inputs(run.info.run_id, datasets=[dataset_input(content.dataset)])
    for path in content.files:
        client.log_artifact(run.info.run_id, str(path))
    client.set_terminated(run.info.run_id, "FINISHED", end_time=content.moment)
    return run.info.run_id


def is_whole(run: Run, content: ArmContent) -> bool:
    """Whether a run has this content."""
    return run.data.tags.get(DIGEST) == content.digest and run.info.status == "FINISHED"


def _short(value: float) -> float:
    """Five digits: what a column of the page has room for; each cell's run has them all."""
    return float(f"{value:.5g}")


def _moment(record: dict[str, Any]) -> int:
    return round(datetime.fromisoformat(record["provenance"]["finished"]).timestamp() * 1000)
