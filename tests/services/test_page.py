"""MLflow's page shows the experiment, a run's curves and its artifacts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agc.tracking import sync
from agc.tracking.store import open_client
from tests.services.browser import page_text, screenshot
from tests.services.servers import Server
from tests.unit.tracking_cells import make_cells

EPOCHS = 20


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    store = f"sqlite:///{folder}/mlflow.db"
    sync("digits", make_cells(folder, 4, EPOCHS), store, folder / "mlartifacts")
    return folder


@pytest.fixture(scope="module")
def page(results: Path) -> Iterator[str]:
    """Address of the experiment."""
    store = f"sqlite:///{results}/mlflow.db"
    server = Server(store, results / "mlartifacts")
    server.start()
    experiment = open_client(store).get_experiment_by_name("digits").experiment_id
    yield f"{server.uri}/#/experiments/{experiment}/runs"
    server.stop()


def test_page_shows_experiment_curves_and_artifacts(
    results: Path, page: str, chromium: str, tmp_path: Path
) -> None:
    client = open_client(f"sqlite:///{results}/mlflow.db")
    experiment = client.get_experiment_by_name("digits").experiment_id
    run = client.search_runs([experiment])[0]
    views = {
        "experiment": (page, "digits", *(f"s{seed}.{seed:08x}" for seed in range(4))),
        "curves": (f"{page}/{run.info.run_id}/model-metrics", "train_loss", "validation_accuracy"),
        "artifacts": (f"{page}/{run.info.run_id}/artifacts", "epochs.csv", "model.safetensors"),
    }
    for name, (address, *wanted) in views.items():
        shown = page_text(chromium, tmp_path / "profile", address)
        assert [text for text in wanted if text not in shown] == [], name
        screenshot(chromium, tmp_path / "profile", address, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
