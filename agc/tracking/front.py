"""What the page of a grid's experiment shows first: arms with their verdicts, and what they are of.

The mirror itself (:mod:`agc.tracking.mirror`) is of cells alone. This is drawn from the runs that
it has made, and from the grid's report if there is one of these cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc.errors import UserError
from agc.files import read_json
from agc.tracking.arms import ARM, PARENT, ArmContent, arm_contents, is_whole, write_arm
from agc.tracking.mirror import open_experiment
from agc.tracking.names import Arm, find_arms
from agc.tracking.plan import active_runs
from agc.tracking.store import load_mlflow, open_client, store_errors, store_lock
from agc.tracking.told import Told, read_told
from agc.tracking.view import LIMIT, TAG, columns, view_state

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

NOTE = "mlflow.note.content"
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Grid:
    """A grid as its page names it.

    Attributes:
        name: its name, and the experiment's.
        given: what commands call it, its name or its file's path.
        question: what it asks, in a line or two.
        cells: content of each cell, by slug.
        folders: of the cells.
        report: folder of its report; it need not exist.
    """

    name: str
    given: str
    question: str
    cells: Mapping[str, dict[str, Any]]
    folders: Sequence[Path]
    report: Path | None = None


@dataclass(frozen=True)
class Front:
    """What was shown, or has to be.

    Attributes:
        experiment: its identifier.
        arms: runs of arms that were missing or told of something else.
        runs: identifier of each cell's run, by slug.
        changed: how many other things were: names and parents of runs, description, view.
    """

    experiment: str
    arms: int = 0
    changed: int = 0
    runs: dict[str, str] = field(default_factory=dict)

    @property
    def in_step(self) -> bool:
        """Whether nothing had to be written."""
        return not (self.arms or self.changed)


def present(
    grid: Grid, uri: str, artifact_root: Path, progress: Progress | None = None, write: bool = True
) -> Front:
    """Make the experiment of a grid show arms, names, a description and a view.

    Args:
        grid: the grid.
        uri: the store, as MLflow's tracking URI.
        artifact_root: folder of the artifacts; a tracking server uses its own instead.
        progress: called with what is done, how much there is to do, and what goes on.
        write: whether to do so, or only to count what would be done.

    Raises:
        UserError: the store cannot be reached or written.
    """
    tell = progress or (lambda done, total, text: None)
    records = _records(grid.folders)
    arms = find_arms(grid.cells)
    told = read_told(grid.report, records)
    contents = arm_contents(grid.name, arms, records, told)
    load_mlflow()
    with store_lock(uri, artifact_root, lambda line: tell(0, 0, line)):
        client = open_client(uri)
        with store_errors(uri):
            if write:
                experiment = open_experiment(client, grid.name, uri, artifact_root)
            else:
                experiment = client.get_experiment_by_name(grid.name)
            if experiment is None:
                return Front("", arms=len(contents))
            runs = active_runs(client, experiment)
            old = [run for run in runs if _is_arm(run)]
            mine = [run for run in runs if run.data.tags.get("agc.cell") in grid.cells]
            kept = {c.name: r for c in contents for r in old if is_whole(r, c)}
            missing = [content for content in contents if content.name not in kept]
            parents = {name: run.info.run_id for name, run in kept.items()}
            for done, content in enumerate(missing if write else ()):
                tell(done, len(missing), content.name)
                parents[content.name] = write_arm(client, experiment, content)
            changed = _name_runs(client, mine, arms, parents, write, tell)
            changed += _describe(client, experiment, grid, records, told, arms, contents, write)
            ids = {run.info.run_id for run in kept.values()}
            for run in (r for r in old if write and r.info.run_id not in ids):
                client.delete_run(run.info.run_id)
    return Front(
        experiment=experiment.experiment_id,
        arms=len(missing),
        changed=changed,
        runs={run.data.tags["agc.cell"]: run.info.run_id for run in mine},
    )


def _is_arm(run: Run) -> bool:
    return ARM in run.data.tags and "agc.cell" not in run.data.tags


def _records(folders: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Records of finished cells; damaged ones are the mirror's to tell of."""
    found = {}
    for folder in folders:
        try:
            if (folder / "record.json").is_file():
                found[folder.name] = read_json(folder / "record.json")
        except UserError:
            continue
    return found


def _name_runs(
    client: MlflowClient,
    runs: Sequence[Run],
    arms: Sequence[Arm],
    parents: Mapping[str, str],
    write: bool,
    tell: Progress,
) -> int:
    """Give cells' runs their names and parents; how many had others."""
    from mlflow.entities import RunTag

    names = {slug: (arm.name, name) for arm in arms for slug, name in arm.runs.items()}
    changed = 0
    for done, run in enumerate(runs):
        arm, name = names[run.data.tags["agc.cell"]]
        wanted = {ARM: arm} | ({PARENT: parents[arm]} if arm in parents else {})
        tags = [RunTag(k, v) for k, v in wanted.items() if run.data.tags.get(k) != v]
        if not tags and run.info.run_name == name:
            continue
        changed += 1
        if not write:
            continue
        tell(done, len(runs), name)
        if run.info.run_name != name:
            client.update_run(run.info.run_id, name=name)
        if tags:
            client.log_batch(run.info.run_id, tags=tags)
    return changed


def _describe(
    client: MlflowClient,
    experiment: Experiment,
    grid: Grid,
    records: Mapping[str, dict[str, Any]],
    told: Told | None,
    arms: Sequence[Arm],
    contents: Sequence[ArmContent],
    write: bool,
) -> int:
    """Set description and view of the experiment; how many of the two were others."""
    metrics = {name for content in contents for name in content.metrics}
    wanted = {
        NOTE: description(grid, records, told),
        TAG: view_state(columns(arms, metrics)),
    }
    changed = {k: v for k, v in wanted.items() if experiment.tags.get(k) != v}
    for name, value in changed.items() if write else ():
        client.set_experiment_tag(experiment.experiment_id, name, value)
    return len(changed)


def description(grid: Grid, records: Mapping[str, dict[str, Any]], told: Told | None) -> str:
    """The question of a grid, what it is of and its verdicts, as Markdown."""
    question = grid.question.strip().rstrip(".")
    commits = {record["provenance"].get("git_commit") for record in records.values()} - {None}
    seeds = {cell["seed"] for cell in grid.cells.values()}
    facts = [
        f"Grid `{grid.name}`: {len(records)} of {len(grid.cells)} cells, {len(seeds)} seeds",
        *([f"commit {', '.join(sorted(commit[:12] for commit in commits))}"] if commits else []),
    ]
    parts = [f"{question[:1].upper()}{question[1:]}.", f"{'; '.join(facts)}."]
    if told is None:
        parts.append(
            f"No verdicts yet: `agc compare {grid.given}`, then `agc track sync {grid.given}`."
        )
    else:
        parts += [
            "Difference of each correction and none in percentage points, all rows together:",
            told.verdicts(),
            "A run with an arrow is an arm: its numbers are means over its seeds, `difference` is"
            " paired by seed, and its artifacts are the forest plot and all tables.",
        ]
    text = "\n\n".join(part for part in parts if part)
    return text if len(text) <= LIMIT else f"{text[: LIMIT - 1]}…"
