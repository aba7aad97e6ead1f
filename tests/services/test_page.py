"""MLflow's page shows the experiment, a run's curves and its artifacts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agc.tracking import sync
from agc.tracking.store import open_client
from tests.services.browser import Browser
from tests.services.servers import Server
from tests.support.tracking_cells import make_cells

EPOCHS = 20
SEARCH = "document.querySelector('input[placeholder=\"Search metric charts\"]')"
# Steps and values of each chart that is drawn.
CURVES = """
[...document.querySelectorAll('.js-plotly-plot')].filter(plot => plot.data?.length).map(
  plot => [Array.from(plot.data[0].x), Array.from(plot.data[0].y)])
"""


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


@pytest.fixture
def run(results: Path, page: str) -> str:
    """Address of the run of the first cell."""
    client = open_client(f"sqlite:///{results}/mlflow.db")
    experiment = client.get_experiment_by_name("digits").experiment_id
    (found,) = client.search_runs([experiment], "params.seed = '0'")
    return f"{page}/{found.info.run_id}"


def test_page_lists_the_runs_of_the_experiment(page: str, browser: Browser, tmp_path: Path) -> None:
    names = [f"rigl 95 % · {name} · seed {seed}" for seed, name in enumerate(("agc", "none") * 2)]
    wanted = ["digits", "matching runs", *names]
    browser.show(page)
    shown = browser.text_with(*wanted)
    assert [text for text in wanted if text not in shown] == []
    browser.screenshot(tmp_path / "experiment.png")


def test_page_draws_a_curve_of_a_run(browser: Browser, run: str, tmp_path: Path) -> None:
    browser.show(f"{run}/model-metrics")
    assert browser.until(f"{SEARCH} !== null", bool)
    # The other charts are drawn only where the window has room for them.
    browser.type_into(SEARCH, "train_loss")
    curve = [[list(range(1, EPOCHS + 1)), [1 / epoch for epoch in range(1, EPOCHS + 1)]]]
    assert browser.until(CURVES, lambda found: found == curve) == curve
    assert "train_loss" in browser.text_with("train_loss")
    browser.screenshot(tmp_path / "curve.png")


def test_page_shows_a_file_of_a_run(browser: Browser, run: str, tmp_path: Path) -> None:
    wanted = ["epochs.csv", "model.safetensors", "train.log", '"test_accuracy": 0.9']
    browser.show(f"{run}/artifacts/record.json")
    shown = browser.text_with(*wanted)
    assert [text for text in wanted if text not in shown] == []
    browser.screenshot(tmp_path / "artifacts.png")
