from __future__ import annotations

import re
from pathlib import Path

from agc.commands.axes import Axis, list_entries
from agc.registry import COMMUNICATION


def test_the_page_of_the_axis_has_the_costs_that_are_declared(repository: Path) -> None:
    text = (repository / "agc" / "communication" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \|.*\| (\S+) \| (\S+) \| ([^|]+) \|$", text, re.MULTILINE)
    found = {}
    for name in COMMUNICATION.names():
        entry = COMMUNICATION[name]
        cost = entry.target.cost(**COMMUNICATION.resolve(name, {}))
        units = 3 + cost.step + cost.snapshot
        found[name] = (f"{units:g}", f"{cost.tensors:g}", entry.facts["bits"])
    assert {name: rest for name, *rest in rows} == {n: [*f] for n, f in found.items()}


def test_the_list_of_the_axis_shows_them(capsys: object) -> None:
    list_entries(Axis.COMMUNICATION)
    shown = capsys.readouterr().out  # type: ignore[attr-defined]
    for words in ("units a batch", "extra tensors", "bits", *COMMUNICATION.names()):
        assert words in shown
