"""timm's optimizers by their names, with the options that their classes take.

Names and options are read from the sources, so that planning a grid need not import torch.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from agc.registry import LATER, Entry

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

Known = tuple[str, dict[str, Any], dict[str, Any]]
"""Class of an optimizer as the source names it, facts (``has_momentum``), fixed arguments."""


def names() -> tuple[str, ...]:
    """All of timm's names, sorted, ``sgd`` among them, which is ours."""
    return tuple(sorted(_infos()))


@cache
def entry(name: str) -> Entry:
    """timm's optimizer of a name: its options are the arguments of its class.

    They have the defaults of timm's version, and are left out of a cell where it says nothing.
    """
    source, facts, fixed = _infos()[name]
    arguments = _arguments(source)
    shared = {"lr": 0.1, "weight_decay": 0.0}
    if facts.get("has_momentum"):
        shared["momentum"] = 0.9
    # A name that fixes it to false is the variant without.
    if "nesterov" in arguments and fixed.get("nesterov", True):
        shared["nesterov"] = True
    given = {"params", *shared, "momentum", "nesterov"}
    options = {key: value for key, value in arguments.items() if key not in given} | {
        key: value for key, value in fixed.items() if key not in given
    }

    def create(params: Iterable[Tensor], **keywords: Any) -> Optimizer:
        from timm.optim import create_optimizer_v2

        if keywords.get("nesterov", True):
            keywords.pop("nesterov", None)  # timm's own default
        return create_optimizer_v2(params, name, **keywords)

    def refuse(cell: Any, **options: Any) -> str | None:
        """Why no cell can have it, or None."""
        if facts.get("second_order"):
            return (
                "it differentiates the gradient once more, and a step keeps no graph for that; "
                "optimizers of first order work"
            )
        return None

    create.refuse = refuse  # type: ignore[attr-defined]
    create.__doc__ = f"{facts.get('description', source)}."
    parameters = [inspect.Parameter("params", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    for key, default in {**shared, **options}.items():
        hint = Annotated[Any, LATER]
        parameters.append(
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        )
    create.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return Entry(name, create, {"source": "timm"})


@cache
def _infos() -> dict[str, Known]:
    """What timm's factory says of each optimizer."""
    found: dict[str, Known] = {}
    for node in ast.walk(_parsed(_folder("timm") / "optim" / "_optim_factory.py")):
        if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "OptimInfo":
            continue
        given = dict(zip(("name", "opt_class", "description"), node.args, strict=False))
        given |= {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        source = ast.unparse(given.pop("opt_class")).strip("'")
        values = {key: _literal(value) for key, value in given.items()}
        found[str(values.pop("name"))] = source, values, values.pop("defaults", None) or {}
    return found


@cache
def _arguments(source: str) -> dict[str, Any]:
    """Arguments of an optimizer's ``__init__`` with their defaults; none if it is not found.

    Args:
        source: as timm's factory names it: ``torch.optim.Adam``, or a class of ``timm.optim``.
    """
    package, _, kind = source.rpartition(".")
    folder = _folder("torch" if package else "timm") / "optim"
    for path in sorted(folder.glob("*.py")):
        if f"class {kind}(" not in path.read_text(encoding="utf-8"):
            continue
        (found,) = (
            node
            for node in _parsed(path).body
            if isinstance(node, ast.ClassDef) and node.name == kind
        )
        for node in found.body:
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                return _defaults(node.args)
    return {}


def _defaults(arguments: ast.arguments) -> dict[str, Any]:
    """Arguments after ``self`` with their defaults; without one it is None."""
    names = [argument.arg for argument in arguments.args][1:]
    values = [None, *arguments.defaults][-len(names) :]
    values = [None] * (len(names) - len(values)) + values
    pairs = [*zip(names, values, strict=True)]
    pairs += zip((a.arg for a in arguments.kwonlyargs), arguments.kw_defaults, strict=True)
    return {name: None if value is None else _literal(value) for name, value in pairs}


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _folder(package: str) -> Path:
    """Where a package is installed, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(package)
    return Path(spec.origin).parent
