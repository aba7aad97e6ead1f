"""Entries of an axis against the one that they are measured by, as corrections against none.

Later axes have a default that cells without them have (:mod:`agc.grids.axes`), such as SGD of the
optimizers, or name another control. What a grid says of an entry is the difference to runs that
have the control there and are alike in all else. An entry that names a relative (``against`` where
it is registered) is compared with that, too, option by option. What has an option that acts on the
relative otherwise than on it (``apart``) is pooled by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from agc.grids.axes import AXES
from agc.reports.arms import PLAIN
from agc.reports.labels import labels_of, task_columns
from agc.reports.pooled import MARGIN, pooled
from agc.reports.text.effects import effects, judge_rows
from agc.reports.verdict import POINTS

if TYPE_CHECKING:
    import pandas as pd

    from agc.grids.files import Margin

AXIS, BASE, ENTRY = "axis", "base", "entry"
BITS = ("bit_flops", "bit_flops_published", "simulated_passes")
"""Costs that records of quantised cells alone have."""
FILE = "entries.csv"
TRAFFIC = ("bits_up", "bits_down")
WITH = " with "
"""Between a method and the options that an entry shares with its base."""


class Compared(NamedTuple):
    """An axis, and the entry by which others on it are measured."""

    axis: str
    base: str


def comparisons(records: pd.DataFrame) -> list[Compared]:
    """What a grid compares on its later axes: where it has the control or a relative, and another
    entry beside it.
    """
    found = []
    for name, axis in AXES.items():
        if not axis.since or name not in records:
            continue
        names = {_parted(label)[0] for label in records[name]}
        relatives = {_against(name, entry) for entry in names} - {axis.measure}
        found += [
            Compared(name, base)
            for base in (axis.measure, *sorted(relatives & names))
            if base in names
        ]
    return [one for one in found if len(as_arms(records, one)["correction"].unique()) > 1]


def as_arms(records: pd.DataFrame, compared: Compared) -> pd.DataFrame:
    """The records with an axis in the place of the correction, its base as the plain arm.

    What was corrected stands with the method, so that only runs with the same correction pair; so
    do the options that the base has, so that each entry is beside the base with the same ones. The
    rate that an arm's tuning chose is a property of the arm.

    Args:
        records: a row for each cell, as collected.
        compared: one of :func:`comparisons`.
    """
    axis, base = compared
    corrected = records["correction"] != PLAIN
    method = records["method"].where(~corrected, records["method"] + " + " + records["correction"])
    parted = labels_of(records, axis).map(_parted)
    shared = {_key(text) for name, options in parted if name == base for text in options}
    same = [", ".join(text for text in options if _key(text) in shared) for _, options in parted]
    own = records.drop(columns=axis).assign(
        method=[
            f"{one}{WITH}{text}" if text else one for one, text in zip(method, same, strict=True)
        ],
        correction=[_arm(name, options, compared, shared) for name, options in parted],
    )
    names = parted.map(lambda one: one[0])
    if base != AXES[axis].measure:
        return own[(names == base) | names.map(lambda name: _against(axis, name) == base)]
    return own


def pooled_entries(records: pd.DataFrame, margin: Margin = MARGIN) -> pd.DataFrame | None:
    """Pooled differences of each entry to the base of its axis; None where nothing is compared.

    The columns of :func:`agc.reports.pooled.pooled`, after ``axis`` and ``base``, with ``entry`` in
    the place of the correction; Holm's adjustment is over the entries of a comparison. Where the
    base is not there, an entry is not compared.
    """
    import pandas as pd

    found = []
    for compared in comparisons(records):
        lines = pooled(as_arms(records, compared), margin).rename(columns={"correction": ENTRY})
        lines = lines[(lines["rows"] > 0) | (lines["diverged"] > 0)]
        lines.insert(0, AXIS, compared.axis)
        lines.insert(1, BASE, compared.base)
        found.append(lines)
    return pd.concat(found, ignore_index=True) if found else None


def entry_rows(
    records: pd.DataFrame, compared: Compared, margin: Margin = MARGIN
) -> list[dict[str, Any]]:
    """Each entry in each row of a grid beside the base: accuracies, difference, verdict.

    ``p`` is adjusted over all of them by Benjamini and Hochberg. ``loss`` is the mean training loss
    of the last epoch, ``units`` those of an epoch, ``lr`` the rate that was chosen, NaN where none
    was; ``bits_up`` and ``bits_down`` those of a worker in the whole training, NaN without workers.
    Accuracies are fractions. If the grid has quantised cells, ``BITS`` are there as well, FLOPs as
    shares of a dense training's in float32, and ``base_flops``, those of the base.
    """
    own = as_arms(records, compared)
    arms = sorted(set(own["correction"]) - {PLAIN})
    found = [effect for arm in arms for effect in effects(own, arm)]
    judged = judge_rows(found, margin.accuracy / POINTS.factor, "fdr_bh")
    rows = []
    for effect, one in zip(found, judged, strict=True):
        alike = own["status"] == "finished"
        for key, value in effect.labels.items():
            alike &= own[key] == value
        runs, default = (own[alike & (own["correction"] == arm)] for arm in (effect.arm, PLAIN))
        rows.append(
            {
                ENTRY: effect.arm,
                **effect.labels,
                "base": effect.base,
                "accuracy": effect.corrected,
                "judged": one,
                "loss": runs["final_train_loss"].mean(),
                "units": runs["units_per_epoch"].mean(),
                "lr": runs["lr"].iloc[0] if "lr" in runs else float("nan"),
                **_weighted(runs, default),
                **{key: runs[key].mean() if key in runs else float("nan") for key in TRAFFIC},
            }
        )
    return rows


def named_lines(lines: pd.DataFrame) -> list[tuple[str, dict[str, Any]]]:
    """Pooled differences to one base, each with the name of its entry, and of the task where there
    are several.
    """
    tasks = [key for key in task_columns(lines.columns) if lines[key].nunique() > 1]
    return [
        (", ".join([line[ENTRY], *(line[key] for key in tasks)]), line)
        for line in lines.to_dict("records")
    ]


def with_remark(axis: str, name: str) -> str:
    """An entry's name, with what must be known of it wherever it is printed, if there is such."""
    remark = _facts(axis, name).get("remark")
    return f"{name} ({remark})" if remark else name


def _weighted(runs: pd.DataFrame, default: pd.DataFrame) -> dict[str, float]:
    if not {*BITS} <= {*runs}:
        return {}
    flops = {"base_flops": _relative(default, "training_flops")}
    flops |= {key: _relative(runs, key) for key in BITS[:2]}
    return {**flops, BITS[2]: runs[BITS[2]].mean()}


def _relative(runs: pd.DataFrame, key: str) -> float:
    return (runs[key] / runs["dense_training_flops"]).mean()


def _parted(label: str) -> tuple[str, tuple[str, ...]]:
    """``name(key=value, key=value)`` as the name and its options."""
    name, _, rest = label.partition("(")
    return name, tuple(rest.removesuffix(")").split(", ")) if rest else ()


def _key(option: str) -> str:
    return option.partition("=")[0]


def _arm(name: str, options: tuple[str, ...], compared: Compared, shared: set[str]) -> str:
    left = [option for option in options if _key(option) not in shared]
    if name == compared.base and not left:
        return PLAIN
    apart = _facts(compared.axis, name).get("apart", ())
    left = [option for option in options if option in left or _key(option) in apart]
    return f"{name}({', '.join(left)})" if left else name


def _against(axis: str, name: str) -> str | None:
    """The relative that an entry is measured by, if it names one."""
    return _facts(axis, name).get("against")


def _facts(axis: str, name: str) -> dict[str, Any]:
    registry = AXES[axis].registry
    return registry[name].facts if name in registry.names() else {}
