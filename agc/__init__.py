"""Adaptive gradient correction (AGC) in sparse training: a library and a benchmark suite.

The names in ``__init__.pyi`` are the library: they work in any training loop. Importing this
package is cheap; torch is imported when one of them is used.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

_STUB = Path(__file__).with_suffix(".pyi")
_HOMES = {
    alias.name: node.module
    for node in ast.parse(_STUB.read_text(encoding="utf-8"), _STUB).body
    if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("agc.")
    for alias in node.names
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name[:1].isupper():  # the class of any other entry
        registry = importlib.import_module("agc.registry")
        axes = (registry.METHODS, registry.CORRECTIONS, registry.OPTIMIZERS, registry.COMMUNICATION)
        for axis in axes:
            for entry in map(axis.__getitem__, axis.names()):
                if entry.target.__name__ == name:
                    return entry.target
    raise AttributeError(f"module 'agc' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
