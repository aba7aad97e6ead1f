"""How long a sync takes: ``python -m tests.services.sync_scale --cells 1000 --epochs 100``."""

from __future__ import annotations

import argparse
import csv
import json
import resource
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agc.tracking import default_uri, store, sync
from tests.support.tracking_cells import make_cells

METRICS = 10


def main() -> None:
    """Make finished cells, mirror them twice, and print wall and CPU seconds of either."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--uri", help="A store; by default a new SQLite file.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder)
        cells = make_cells(results, given.cells, given.epochs)
        for number, cell in enumerate(cells):
            write_epochs(cell / "epochs.csv", given.epochs)
            write_times(cell / "record.json", number)
        begin = (time.perf_counter(), cpu())
        store.load_mlflow()
        tell("import of MLflow", begin)
        for name in ("first sync", "second sync"):
            begin = (time.perf_counter(), cpu())
            report = sync("scale", cells, given.uri or default_uri(results), results / "artifacts")
            tell(f"{name} ({report.summary()})", begin)


def write_epochs(path: Path, epochs: int) -> None:
    """A history of ten metrics, each value another."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["epoch", *(f"metric_{i}" for i in range(METRICS))])
        for epoch in range(1, epochs + 1):
            writer.writerow([epoch, *(epoch + i / METRICS for i in range(METRICS))])


def write_times(path: Path, number: int) -> None:
    """An hour for each cell, sixteen at once, none begun in the same second as another.

    MLflow's largest index is ordered by time: a thousand runs of one and the same hour would be
    spread over all of it, each anew.
    """
    begun = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number // 16, seconds=number % 16)
    record = json.loads(path.read_text())
    record["provenance"]["started"] = begun.isoformat()
    record["provenance"]["finished"] = (begun + timedelta(hours=1)).isoformat()
    path.write_text(json.dumps(record))


def cpu() -> float:
    """CPU seconds of this process and of those that it started and that have ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def tell(name: str, begin: tuple[float, float]) -> None:
    """Print what passed since ``begin``: wall and CPU seconds."""
    wall, used = time.perf_counter() - begin[0], cpu() - begin[1]
    print(f"{name}: {wall:.1f} s, {used:.1f} CPU s", flush=True)


if __name__ == "__main__":
    main()
