"""Which cells the mirror lacks, has wrongly, has twice or should not have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from agc.tracking.content import digest, record_files

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

DIGEST = "agc.digest"
LIVE = "agc.live"
"""Marks a run that was begun while its cell trained."""
PAGE = 1000


@dataclass(frozen=True)
class SyncReport:
    """How the mirror of a grid compares with its records; counts are of cells or runs.

    After ``sync`` these are the things it did, after ``check`` those it would do.
    """

    grid: str
    added: int = 0
    """Cells that had no run."""
    repaired: int = 0
    """Cells whose run was partial or told of another record."""
    unchanged: int = 0
    duplicates: int = 0
    """Runs of a cell beside its good one, deleted by ``sync``."""
    stale: int = 0
    """Runs of cells that are not in the grid (any more)."""
    pruned: int = 0
    """Stale runs that were deleted."""
    waiting: int = 0
    """Cells without a record yet; a run that they have is left alone."""
    problems: tuple[str, ...] = ()
    """Records that cannot be mirrored, one line each; their cells have no other count."""

    @property
    def in_step(self) -> bool:
        """Whether every record had its run, whole and current, and nothing else was there."""
        return not (self.added or self.repaired or self.duplicates or self.stale or self.problems)

    def summary(self) -> str:
        """One line for a terminal."""
        names = ["added", "repaired", "unchanged", "duplicates", "stale", "pruned", "waiting"]
        counts = {name: getattr(self, name) for name in names}
        shown = [f"{n} {name}" for name, n in counts.items() if n or name == "unchanged"]
        if self.problems:
            shown.append(f"{len(self.problems)} with problems")
        return f"{self.grid}: " + ", ".join(shown)


@dataclass
class Plan:
    """What has to be done for one grid."""

    add: dict[Path, str] = field(default_factory=dict)
    repair: dict[Path, str] = field(default_factory=dict)
    unchanged: int = 0
    waiting: int = 0
    outdated: dict[Path, list[Run]] = field(default_factory=dict)
    begun: dict[Path, Run] = field(default_factory=dict)
    """Runs of the live view, to be completed where they agree with the record."""
    duplicates: list[Run] = field(default_factory=list)
    stale: list[Run] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def report(self, grid: str, pruned: int = 0) -> SyncReport:
        """Count what is planned."""
        return SyncReport(
            grid=grid,
            added=len(self.add),
            repaired=len(self.repair),
            unchanged=self.unchanged,
            duplicates=len(self.duplicates),
            stale=len(self.stale),
            pruned=pruned,
            waiting=self.waiting,
            problems=tuple(self.problems),
        )


def compare(
    client: MlflowClient | None, experiment: Experiment | None, folders: Iterable[Path]
) -> Plan:
    """Hold the records in ``folders`` against the runs of an experiment, None if there is none."""
    runs = _runs(client, experiment) if client and experiment else {}
    plan = Plan()
    for folder in dict.fromkeys(folders):
        found = runs.pop(folder.name, [])
        if not (folder / "record.json").is_file():
            plan.waiting += 1
            continue
        wanted = digest(folder)
        good = [run for run in found if _is_whole(run, wanted, folder)]
        if good:
            plan.unchanged += 1
            plan.duplicates += [run for run in found if run is not good[0]]
        elif found:
            plan.repair[folder] = wanted
            plan.outdated[folder] = found
            live = [run for run in found if is_live(run)]
            if live:
                plan.begun[folder] = live[0]
        else:
            plan.add[folder] = wanted
    plan.stale = [run for group in runs.values() for run in group]
    return plan


def _runs(client: MlflowClient, experiment: Experiment) -> dict[str, list[Run]]:
    """Active runs of the experiment that mirror a cell, by slug; others are a user's own."""
    runs: dict[str, list[Run]] = defaultdict(list)
    for run in active_runs(client, experiment):
        if "agc.cell" in run.data.tags:
            runs[run.data.tags["agc.cell"]].append(run)
    return runs


def active_runs(client: MlflowClient, experiment: Experiment) -> list[Run]:
    """All runs of an experiment but those in the trash."""
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment.experiment_id], max_results=PAGE, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def is_live(run: Run) -> bool:
    """Whether the live view began a run and no sync has completed it."""
    return LIVE in run.data.tags and DIGEST not in run.data.tags


def _is_whole(run: Run, wanted: str, folder: Path) -> bool:
    if run.data.tags.get(DIGEST) != wanted or run.info.status != "FINISHED":
        return False
    kept = local_path(run.info.artifact_uri)
    if kept is None:
        return True
    return all((kept / path.name).is_file() for path in record_files(folder))


def local_path(uri: str) -> Path | None:
    """Folder that an artifact URI names on this machine, None if it is elsewhere."""
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme in ("file", "") else None
