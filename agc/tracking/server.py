"""MLflow's page: the command that starts it, and the address of a grid's view."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from agc.errors import UserError
from agc.tracking.store import database_file, has_secrets, is_server, open_client, store_errors
from agc.tracking.view import TAG, address

HOST = "127.0.0.1"
PORT = 5000
START_SECONDS = 3600.0
"""What a busy machine may take; a server that cannot start ends by itself."""
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Its job runner starts seven more processes, for things that a mirror has not.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


def ui_command(uri: str, artifact_root: Path, port: int = PORT) -> str:
    """Shell command that shows the mirror in a browser, reachable from this machine alone."""
    # A password belongs into the environment, not on a terminal that others may read.
    store = '"$MLFLOW_TRACKING_URI"' if has_secrets(uri) else shlex.quote(uri)
    if is_server(uri):
        return f"{shlex.quote(sys.executable)} -m webbrowser {store}"
    program = Path(sys.executable).with_name("mlflow")
    on_path = program.parent in map(Path, os.get_exec_path())
    parts = [
        *(f"{name}={value}" for name, value in SETTINGS.items()),
        "mlflow" if on_path else shlex.quote(str(program)),
        f"ui --backend-store-uri {store}",
        shlex.join(_options(artifact_root, port)),
    ]
    return " ".join(parts)


def _options(artifact_root: Path, port: int) -> list[str]:
    root = artifact_root.resolve().as_uri()
    place = ["--host", HOST, "--port", str(port), "--workers", "1"]
    return ["--artifacts-destination", root, *place]


def grid_address(uri: str, grid: str | None, server: str, fills: str) -> str:
    """Address of a grid's view, or of the only one that a store has; else of its experiments.

    Args:
        uri: the store.
        grid: name of the grid; None: the only one.
        server: address of the page.
        fills: the command that adds a grid, for the message.

    Raises:
        UserError: the store cannot be reached, or has no such grid.
    """
    client = open_client(uri)
    with store_errors(uri):
        found = [one for one in client.search_experiments() if TAG in one.tags]
    names = sorted(experiment.name for experiment in found)
    if grid is not None and grid not in names:
        raise UserError(f"the mirror has no grid {grid!r}: `{fills}` adds it")
    shown = [one for one in found if one.name == grid or (grid is None and len(names) == 1)]
    return address(server, shown[0].experiment_id) if shown else f"{server}/#/experiments"


@contextmanager
def served(uri: str, artifact_root: Path, port: int = PORT) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's server on a store, for this machine alone, while the block runs.

    Raises:
        UserError: the port is in use, or the server ends or does not answer.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(f"port {port} is in use: choose another with --port") from error
    # Not on a command line, where others would see a password.
    environment = {**os.environ, **SETTINGS, "MLFLOW_BACKEND_STORE_URI": uri}
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *_options(artifact_root, port)],
        env=environment,
        # Ctrl-C is for this process, which ends it with its workers.
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def wait_for(process: subprocess.Popen[bytes], port: int) -> str:
    """The address of a server once it answers.

    Args:
        process: the server's.
        port: that it listens on.

    Raises:
        UserError: it ends, or takes longer than :data:`START_SECONDS`.
    """
    page, begin = f"http://{HOST}:{port}", time.monotonic()
    while not _answers(page):
        if process.poll() is not None:
            raise UserError(f"MLflow's server ended with code {process.returncode}")
        if time.monotonic() - begin > START_SECONDS:
            raise UserError(f"MLflow's server did not answer within {START_SECONDS:.0f} s")
        time.sleep(0.5)
    return page


def page_of(uri: str) -> str:
    """Address of the page of a store: that of its server, without a password, or of the one that
    ``agc track ui`` starts.
    """
    if not is_server(uri):
        return f"http://{HOST}:{PORT}"
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def is_empty(uri: str) -> bool:
    """Whether nothing can have been mirrored: an SQLite store without a file."""
    database = database_file(uri)
    return database is not None and not database.exists()


def _answers(page: str) -> bool:
    try:
        with urllib.request.urlopen(f"{page}/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False
