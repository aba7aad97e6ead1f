"""Who imports whom in ``agc``, read from the sources; imports for types alone count too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "agc"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports(module: str) -> set[str]:
    """The modules of ``agc`` that a module imports, at its head or inside a function."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    return {name for node in ast.walk(tree) for name in _named(node)} & set(MODULES) - {module}


def room(module: str) -> str:
    """Folder of a module, or its own name if it lies at the root."""
    return "agc" if module == "agc" else module.split(".")[1]


def arrows() -> Iterator[tuple[str, str]]:
    """Every import between two modules."""
    return ((module, other) for module in MODULES for other in sorted(imports(module)))


def _named(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module is not None:
        whole = [f"{node.module}.{alias.name}" for alias in node.names]
        return [name if name in MODULES else node.module for name in whole]
    return []
