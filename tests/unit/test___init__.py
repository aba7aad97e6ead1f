"""The names of the library: one list, for people, editors and Python."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import agc

PACKAGE = Path(agc.__file__).parent
STUB = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))


def test_editors_and_python_read_the_same_names() -> None:
    imported = [n for n in STUB.body if isinstance(n, ast.ImportFrom) and n.module != "typing"]
    # ``as`` makes a name of a stub public: without it a type checker hides the name.
    assert all(a.asname == a.name for node in imported for a in node.names)
    names = [a.name for node in imported for a in node.names]
    assert sorted(names) == agc.__all__
    for node in imported:
        for alias in node.names:
            assert getattr(agc, alias.name).__module__ == node.module
    assert (PACKAGE / "py.typed").is_file()


def test_what_is_listed_can_be_imported_and_is_shown() -> None:
    found: dict[str, object] = {}
    exec("from agc import *", found)
    assert {*agc.__all__} <= {*found}
    assert {*agc.__all__, "__version__", "__doc__"} <= {*dir(agc)}


def test_the_package_and_its_list_need_no_torch() -> None:
    code = "import sys, agc; dir(agc); agc.__all__; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(ImportError, match="Adam"):
        from agc import Adam  # noqa: F401
