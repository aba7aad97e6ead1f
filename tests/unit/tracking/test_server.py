"""The address of a grid's view, and what is said where there is none."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from agc.errors import UserError
from agc.tracking import default_uri
from agc.tracking.server import grid_address, is_empty, page_of, served
from agc.tracking.store import open_client
from agc.tracking.view import TAG
from tests.support.command_line import agc

pytest.importorskip("mlflow")

HERE, FILLS = "http://127.0.0.1:5000", "agc track sync third"


def test_the_only_grid_is_opened_and_of_several_the_one_that_is_named(results: Path) -> None:
    store = default_uri(results)
    client = open_client(store)
    assert grid_address(store, None, HERE, FILLS) == f"{HERE}/#/experiments"
    one = client.create_experiment("one", tags={TAG: "{}"})
    client.create_experiment("without a view")
    assert f"/#/experiments/{one}/runs?" in grid_address(store, None, HERE, FILLS)
    other = client.create_experiment("other", tags={TAG: "{}"})
    assert grid_address(store, None, HERE, FILLS) == f"{HERE}/#/experiments"
    found = grid_address(store, "other", HERE, FILLS)
    assert found.startswith(f"{HERE}/#/experiments/{other}/runs?workflowType=machine_learning&")
    assert found.endswith("&viewStateShareKey=arms")
    with pytest.raises(UserError, match=f"no grid 'third': `{FILLS}` adds it"):
        grid_address(store, "third", HERE, FILLS)


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(UserError, match=f"port {port} is in use: choose another with --port"),
            served(default_uri(tmp_path), tmp_path, port),
        ):
            pass


def test_nothing_is_started_where_nothing_is_mirrored(tmp_path: Path) -> None:
    said = agc("track", "ui", "digits", "--results", tmp_path).message
    assert (
        said == f"nothing is mirrored in {tmp_path}: `agc track sync digits --results {tmp_path}`"
    )
    assert is_empty(default_uri(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_tracking_servers_page_is_its_own_and_shows_no_password() -> None:
    assert page_of("sqlite:////somewhere/mlflow.db") == HERE
    assert page_of("https://me:secret@tracking.example:8443") == "https://tracking.example:8443"
