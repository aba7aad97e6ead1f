"""A Slurm for the tests of this folder, or a failure that says what it takes to have one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.slurm.node import Node, missing


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    lacking = missing()
    if lacking:
        pytest.fail("these tests need\n  " + "\n  ".join(lacking), pytrace=False)
    folder = tmp_path_factory.mktemp("slurm")
    folder.chmod(0o755)  # munge wants no folder that others can write to
    node = Node(folder)
    try:
        node.start()
        yield node
    finally:
        node.stop()
