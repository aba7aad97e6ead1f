"""One small registry, used by every axis.

An entry is registered where it is defined. The axis' folder is scanned on first use, then the
entry points of the same group, so a new entry is one new file here, or a package elsewhere that
declares, for example, ``[project.entry-points."agc.methods"]``.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, create_model, model_serializer
from pydantic_core import to_jsonable_python

from agc.errors import UserError, unknown

LATER = "later"
"""Marks an option (``Annotated[float, LATER]``) that came when cells without it had been run.

With its default it is left out of a cell's options, so that those cells keep their hashes. A
changed default needs a new revision, as no hash tells of it.
"""

Target = TypeVar("Target", bound=Callable[..., Any])


class Strict(BaseModel):
    """Refuses what it does not know and cannot be changed; later fields are left out of its dump at
    their default. The base of all settings and of every entry's options.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_serializer(mode="wrap")
    def _short(self, dump: Any) -> dict[str, Any]:
        fields = type(self).model_fields
        return {
            name: value
            for name, value in dump(self).items()
            if LATER not in fields[name].metadata
            or to_jsonable_python(value) != to_jsonable_python(fields[name].default)
        }


@dataclass(frozen=True)
class Entry:
    """One name on an axis: the class or function behind it, and facts known without calling it."""

    name: str
    target: Callable[..., Any]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """First sentence of the docstring."""
        text = inspect.getdoc(self.target) or ""
        return " ".join(text.split("\n\n")[0].split())


class Registry:
    """The entries of one axis.

    Args:
        kind: what an entry is called in messages ("method").
        package: folder that is scanned, and group of the entry points ("agc.methods").
        context: keyword arguments of an entry that the suite gives by itself; all its other
            keyword-only arguments are options, which a recipe or the command line may set.
        library: module of a library behind the axis, whose entries are reached by their names too.
            It has ``names()``, and ``entry(name)`` that gives an :class:`Entry`.
        rules: module whose ``refuse(entry, cell, **options)`` is asked for every entry.
    """

    def __init__(
        self,
        kind: str,
        package: str,
        context: tuple[str, ...] = (),
        *,
        library: str | None = None,
        rules: str | None = None,
    ) -> None:
        self.kind = kind
        self.package = package
        self.context = frozenset(context)
        self.library = library
        self.rules = rules
        self._entries: dict[str, Entry] = {}
        self._models: dict[tuple[str, Callable[..., Any]], type[BaseModel]] = {}
        self._discovered = False

    def register(self, name: str, **facts: Any) -> Callable[[Target], Target]:
        """Decorator that puts a class or function on this axis as ``name``."""

        def add(target: Target) -> Target:
            # Names of entries become names of files.
            if not re.fullmatch(r"\w[\w:+.-]*", name):
                raise ValueError(f"{self.kind} {name!r}: a name has letters, digits, and ':+.-_'")
            known = self._entries.get(name)
            if known is not None and known.target.__module__ != target.__module__:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._entries[name] = Entry(name, target, facts)
            return target

        return add

    def names(self) -> list[str]:
        """Names of the entries that are registered, sorted."""
        self._discover()
        return sorted(self._entries)

    def library_names(self) -> list[str]:
        """Further names, of the library behind the axis."""
        return list(importlib.import_module(self.library).names()) if self.library else []

    def __getitem__(self, name: str) -> Entry:
        self._discover()
        if name in self._entries:
            return self._entries[name]
        others = self.library_names()
        if name in others:
            return importlib.import_module(str(self.library)).entry(name)
        raise unknown(self.kind, name, [*self._entries, *others])

    def option_names(self, name: str) -> frozenset[str] | None:
        """Options of an entry; None if it is not known which ones it takes."""
        return frozenset(self.options(name).model_fields)

    def takes(self, name: str) -> frozenset[str]:
        """Those arguments of ``context`` that an entry takes."""
        return self.context & {parameter.name for parameter, _ in _keywords(self[name].target)}

    def refuse(self, name: str, cell: Any, options: dict[str, Any]) -> str | None:
        """Why an entry with these options makes no sense in ``cell``, or None.

        It asks the rules of the axis, and the entry's own ``refuse(cell, **options)`` if it has
        one.
        """
        entry = self[name]
        options = self.resolve(name, options)
        reason = None
        if self.rules is not None:
            reason = importlib.import_module(self.rules).refuse(entry, cell, **options)
        if reason is None and hasattr(entry.target, "refuse"):
            reason = entry.target.refuse(cell, **options)
        return reason

    def options(self, name: str) -> type[BaseModel]:
        """The entry's options as a pydantic model, read from its keyword-only arguments."""
        target = self[name].target
        # Making the class takes a hundred times as long as checking options against it.
        if (name, target) in self._models:
            return self._models[name, target]
        fields: dict[str, Any] = {}
        for parameter, scope in _keywords(target):
            if parameter.name in self.context or parameter.name in fields:
                continue
            hint = parameter.annotation
            hint = eval(hint, dict(scope)) if isinstance(hint, str) else hint
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hint, default)
        model = create_model(name, __base__=Strict, **fields)
        return self._models.setdefault((name, target), model)

    def resolve(self, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """All options of an entry, defaults filled in, as plain JSON values.

        Options marked :data:`LATER` are left out where they have their default.

        Raises:
            UserError: unknown name, unknown option, or a value that is not allowed.
        """
        model = self.options(name)
        for key in options:
            if key not in model.model_fields:
                raise unknown(f"option of {self.kind} {name!r}", key, model.model_fields)
        try:
            return model(**options).model_dump(mode="json")
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            if first["type"] == "missing":
                raise UserError(f"{self.kind} {name!r}: option {where} is missing") from error
            raise UserError(
                f"{self.kind} {name!r}: option {where} = {first.get('input')!r}: {first['msg']}"
            ) from error

    def create(self, name: str, *args: Any, options: dict[str, Any], **context: Any) -> Any:
        """Call the entry with its options and those of ``context`` that it takes."""
        target = self[name].target
        wanted = {parameter.name for parameter, _ in _keywords(target)}
        given = {key: value for key, value in context.items() if key in wanted}
        return target(*args, **given, **self.resolve(name, options))

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        folder = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(folder.__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        for point in entry_points(group=self.package):
            try:
                point.load()
            except Exception as error:  # a broken plug-in must not take the suite with it
                warnings.warn(f"{self.kind} {point.name!r} was not loaded: {error}", stacklevel=2)


def _keywords(target: Callable[..., Any]) -> list[tuple[inspect.Parameter, dict[str, Any]]]:
    """Keyword-only arguments with the scope of their annotations, the class's own first.

    A class whose ``__init__`` ends with ``**options`` takes those of its base too.
    """
    functions = [target]
    if inspect.isclass(target):
        functions = [vars(kind)["__init__"] for kind in target.__mro__ if "__init__" in vars(kind)]
    found: list[tuple[inspect.Parameter, dict[str, Any]]] = []
    for function in functions:
        if function is object.__init__:
            break
        parameters = inspect.signature(function).parameters.values()
        scope = getattr(function, "__globals__", {})
        found += [(p, scope) for p in parameters if p.kind is p.KEYWORD_ONLY]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return found


METHODS = Registry("method", "agc.methods", ("sparsity", "total_steps", "seed"))
CORRECTIONS = Registry("correction", "agc.corrections", ("seed", "epochs", "dense"))
OBJECTIVES = Registry("objective", "agc.objectives", ("precision",))
DATASETS = Registry("dataset", "agc.datasets", ("seed",), rules="agc.datasets.shared.limits")
OPTIMIZERS = Registry(
    "optimizer",
    "agc.optimizers",
    ("lr", "momentum", "nesterov", "weight_decay", "seed"),
    library="agc.optimizers.shared.timms",
)
QUANTIZATIONS = Registry(
    "quantization",
    "agc.quantization",
    ("seed", "total_steps"),
    rules="agc.quantization.shared.limits",
)
ATTACKS = Registry("attack", "agc.attacks")
COMMUNICATION = Registry(
    "communication", "agc.communication", ("seed",), rules="agc.communication.shared.rules"
)
COMPRESSORS = Registry("compressor", "agc.compressors", ("ratio", "seed"))
