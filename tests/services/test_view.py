"""MLflow opens on the answer: its page has the columns of the shared view, and a row an arm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.services.browser import Browser
from tests.services.servers import free_port
from tests.support.mirrored_grid import CORRECTIONS, METHODS, NAME, SEEDS

ROOT = Path(__file__).resolve().parents[2]
OLDEST = ROOT / ".venv" / "oldest-mlflow" / "bin" / "python"
"""An environment with the oldest MLflow that is supported, which `make services` sets up."""

ARMS = [f"{method} 95 % · {correction}" for method in METHODS for correction in CORRECTIONS]
COLUMNS = {
    "verdict",
    *("final.test_accuracy", "difference", "difference.low", "difference.high"),
    *("method", "sparsity", "correction", "objective", "seed"),
    *("training.optimizer", "quantization", "communication"),
    *("costs.units", "seconds.train"),
}
# The page draws the columns and rows alone that its window has room for.
WIDE = (3200, 1300)
HEADINGS = "[...document.querySelectorAll('[role=columnheader]')].map(one => one.innerText.trim())"
NAMES = (
    "[...document.querySelectorAll('.ag-pinned-left-cols-container [role=row]')]"
    ".map(row => row.innerText.split('\\n').find(line => line.includes('%')))"
)
VERDICTS = (
    "[...document.querySelectorAll('.ag-center-cols-container [role=row]')]"
    ".map(row => row.querySelector('[col-id=\"tags.`verdict`\"]')?.innerText.trim())"
)


@pytest.fixture(scope="module", params=["installed", "oldest"])
def python(request: pytest.FixtureRequest) -> str:
    if request.param == "installed":
        return sys.executable
    if not OLDEST.is_file():
        pytest.skip("no environment with the oldest MLflow: make services")
    return str(OLDEST)


@pytest.fixture(scope="module")
def view(python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address that ``agc track ui`` prints, of a grid mirrored by one version of MLflow."""
    results = tmp_path_factory.mktemp("results")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    environment = {**kept, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}
    made = [python, "-m", "tests.support.mirrored_grid", str(results)]
    subprocess.run(made, env=environment, cwd=results, check=True)
    opened = [python, "-m", "agc", "track", "ui", NAME, "--results", str(results), "--no-open"]
    server = subprocess.Popen(
        [*opened, "--port", str(free_port())], env=environment, stdout=subprocess.PIPE, text=True
    )
    line = server.stdout.readline()
    assert line.startswith("MLflow: http://127.0.0.1:"), server.wait()
    address = line.removeprefix("MLflow: ").strip()
    yield address
    # Not that of Ctrl-C, which nobody gets who was started in the background of a shell.
    server.send_signal(signal.SIGTERM)
    assert server.wait() == 0
    with pytest.raises(OSError, match="refused"):
        urlopen(address)


def test_the_page_opens_on_the_arms(view: str, browser: Browser, tmp_path: Path) -> None:
    browser.resize(*WIDE)
    browser.show(view)
    browser.text_with("matching runs", *ARMS)
    found = browser.until(HEADINGS, lambda names: set(names) >= COLUMNS)
    assert set(found) >= COLUMNS
    browser.screenshot(tmp_path / "view.png")
    assert browser.value(NAMES) == ARMS
    verdicts = dict(zip(ARMS, browser.value(VERDICTS), strict=True))
    for arm, verdict in verdicts.items():
        assert (verdict in ("-", None)) == arm.endswith("none")
    # The seeds are there, an arrow away.
    assert f"{len(ARMS) * (SEEDS + 1)} matching runs" in " ".join(
        browser.text_with("matching runs").split()
    )
