"""Axis of architectures: any timm network, and those that the files here register with timm.

Names are read from the sources, so that planning a grid need not import timm (10 seconds).
"""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
import re
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from agc.errors import unknown
from agc.registry import Entry, Registry

_REGISTERED = re.compile(r"^@register_model[^\n]*\n(?:@[^\n]*\n)*def (\w+)\(", re.MULTILINE)
GROUP = "agc.architectures"


class Network(Entry):
    """A network by its name; the sources say what it is."""

    @property
    def summary(self) -> str:
        """First sentence of the docstring; none for timm's own."""
        return own_summaries().get(self.name, "")


class Architectures(Registry):
    """timm's registry seen as that of an axis: timm checks the options once it is imported."""

    def names(self) -> list[str]:
        """Names that the files of this folder, and packages with an entry point, register."""
        return list(own_names())

    def library_names(self) -> list[str]:
        """Names that the installed timm registers by itself."""
        return list(timm_names())

    def __getitem__(self, name: str) -> Entry:
        if name not in own_names() and name not in timm_names():
            raise unknown(self.kind, name, [*own_names(), *timm_names()])
        return Network(name, register_all)

    def option_names(self, name: str) -> frozenset[str] | None:
        """Not known without timm."""
        return None

    def resolve(self, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """The options as they are.

        Raises:
            UserError: no such network.
        """
        _ = self[name]
        return options


def own_names() -> tuple[str, ...]:
    """Names that the files of this folder, and packages with an entry point, register."""
    return tuple(own_summaries())


@cache
def own_summaries() -> dict[str, str]:
    """First sentence of the docstring of each name in :func:`own_names`, sorted by name."""
    return dict(sorted(pair for file in _own_files() for pair in _registered_in(file)))


def smallest_images() -> dict[str, int]:
    """Height and width that images need at least, of those networks whose files say so."""
    return _said("SMALLEST")


def cell_calls(architecture: Any) -> int | None:
    """How often a forward pass calls the cell of an equilibrium network; None for any other.

    Args:
        architecture: a cell's choice, with ``name`` and ``options``.
    """
    usual = _said("CELL_CALLS").get(architecture.name)
    return usual if usual is None else architecture.options.get("calls", usual)


@cache
def timm_names() -> tuple[str, ...]:
    """Names that the installed timm registers by itself."""
    spec = importlib.util.find_spec("timm")
    if spec is None or spec.origin is None:
        return ()
    files = Path(spec.origin).parent.joinpath("models").glob("*.py")
    return tuple(sorted({name for file in files for name in _names_in(file)}))


def register_all() -> None:
    """Import every file that registers networks with timm."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    for point in entry_points(group=GROUP):
        point.load()


def _own_files() -> list[Path]:
    files = [file for folder in __path__ for file in sorted(Path(folder).glob("*.py"))]
    for point in entry_points(group=GROUP):
        spec = importlib.util.find_spec(point.module)
        if spec is not None and spec.origin is not None:
            files.append(Path(spec.origin))
    return files


@cache
def _said(constant: str) -> dict[str, int]:
    """What the files say of their networks in a constant, by name."""
    found: dict[str, int] = {}
    for file in _own_files():
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == constant:
                found |= ast.literal_eval(node.value)
    return found


def _names_in(file: Path) -> list[str]:
    return _REGISTERED.findall(file.read_text(encoding="utf-8"))


def _registered_in(file: Path) -> list[tuple[str, str]]:
    names = set(_names_in(file))
    if not names:
        return []
    functions = ast.parse(file.read_text(encoding="utf-8")).body
    return [
        (node.name, " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split()))
        for node in functions
        if isinstance(node, ast.FunctionDef) and node.name in names
    ]


ARCHITECTURES = Architectures("architecture", GROUP, rules="agc.architectures.shared.limits")
