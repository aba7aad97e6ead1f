"""Bring MLflow into step with the records of a grid, or say where it is not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agc.errors import UserError
from agc.tracking.content import read_content
from agc.tracking.plan import SyncReport, compare, local_path
from agc.tracking.store import (
    database_file,
    is_server,
    load_mlflow,
    open_client,
    store_errors,
    store_lock,
)
from agc.tracking.workers import run_writer
from agc.tracking.writing import Job, begin, continues

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

Progress = Callable[[int, int, str], None]

_log = logging.getLogger(__name__)


def sync(
    grid: str,
    cell_folders: Sequence[Path],
    uri: str,
    artifact_root: Path,
    progress: Progress | None = None,
    prune: bool = False,
) -> SyncReport:
    """Make the experiment ``grid`` repeat the records in ``cell_folders``.

    Waits while another process mirrors into the same store. A record that is damaged becomes a
    problem of the report and does not keep the others out. Runs that are replaced go to MLflow's
    trash, which ``mlflow gc`` empties.

    Args:
        grid: Name of the grid, and of the experiment.
        cell_folders: Folders of its cells, each named by the cell's slug.
        uri: The store, as MLflow's tracking URI.
        artifact_root: Folder of the artifacts; a tracking server uses its own instead.
        progress: Called with the runs begun, the runs to write, and what goes on.
        prune: Delete runs of cells that ``cell_folders`` does not name.

    Raises:
        UserError: the store cannot be reached or written.
    """
    tell = progress or (lambda done, total, text: None)
    say = partial(progress, 0, 0) if progress else _log.warning
    # Before the lock, which others may wait for.
    load_mlflow()
    with store_lock(uri, artifact_root, say):
        client = open_client(uri)
        with store_errors(uri):
            experiment = open_experiment(client, grid, uri, artifact_root)
            plan = compare(client, experiment, cell_folders)
            todo = plan.add | plan.repair
            written: dict[Path, str] = {}
            with run_writer(client, uri, len(todo)) as write:
                for done, (folder, wanted) in enumerate(todo.items()):
                    tell(done, len(todo), folder.name)
                    try:
                        content = read_content(folder, grid)
                    except UserError as error:
                        plan.problems.append(str(error))
                        plan.add.pop(folder, None)
                        plan.repair.pop(folder, None)
                        continue
                    begun = plan.begun.get(folder)
                    live = begun is not None and continues(client, begun, content)
                    if live:
                        run_id = begun.info.run_id
                    else:
                        run_id = begin(client, experiment, content, wanted)
                    write(Job(folder, grid, run_id, wanted, live))
                    written[folder] = run_id
            for folder, run_id in written.items():
                for run in plan.outdated.get(folder, []):
                    if run.info.run_id != run_id:
                        client.delete_run(run.info.run_id)
            unwanted = plan.duplicates + (plan.stale if prune else [])
            for run in unwanted:
                client.delete_run(run.info.run_id)
            tell(len(todo), len(todo), "in step")
    return plan.report(grid, pruned=len(plan.stale) if prune else 0)


def check(grid: str, cell_folders: Sequence[Path], uri: str, artifact_root: Path) -> SyncReport:
    """What ``sync`` would do, without writing into the store or creating it.

    Raises:
        UserError: the store cannot be reached.
    """
    database = database_file(uri)
    if database is not None and not database.exists():
        return compare(None, None, cell_folders).report(grid)
    load_mlflow()
    with store_lock(uri, artifact_root, _log.warning):
        client = open_client(uri)
        with store_errors(uri):
            experiment = client.get_experiment_by_name(grid)
            if experiment is not None and experiment.lifecycle_stage != "active":
                experiment = None
            return compare(client, experiment, cell_folders).report(grid)


def open_experiment(client: MlflowClient, grid: str, uri: str, artifact_root: Path) -> Experiment:
    """The experiment of a grid, made or taken out of the trash if need be.

    Raises:
        UserError: the folder of its artifacts is gone.
    """
    experiment = client.get_experiment_by_name(grid)
    location = None if is_server(uri) else (artifact_root.resolve() / grid).as_uri()
    if experiment is None:
        tags = {"agc.grid": grid, "mlflow.experimentKind": "custom_model_development"}
        created = client.create_experiment(grid, artifact_location=location, tags=tags)
        return client.get_experiment(created)
    if experiment.lifecycle_stage != "active":
        client.restore_experiment(experiment.experiment_id)
    # An experiment's place is fixed for good and absolute, so results that were moved would go on
    # writing where they once were.
    place = local_path(experiment.artifact_location)
    if location and location != experiment.artifact_location and place and not place.exists():
        database = database_file(uri)
        way = f"delete {database}" if database else "delete the experiment, run `mlflow gc`"
        raise UserError(
            f"experiment {grid!r} keeps its artifacts in {place}, which is gone; "
            f"move them back, or {way} and mirror again"
        )
    return experiment
