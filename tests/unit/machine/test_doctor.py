from __future__ import annotations

import io
import json
import shutil
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from agc.machine import doctor
from agc.machine.doctor import Check, diagnose, print_report
from agc.machine.hardware import LIMITS, recorded_instruction_sets


def find(checks: list[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def test_every_part_of_this_machine_is_reported_with_remedies(tmp_path: Path) -> None:
    checks = diagnose(tmp_path / "not" / "yet" / "there")
    expected = {"python", "torch", "torchvision", "timm", "torchattacks", "mlflow", "snakemake"}
    expected |= {
        "requirements",
        "cuda",
        "processors",
        "instruction set",
        "results",
        "disk",
        "git commit",
    }
    assert {check.name for check in checks} == expected
    assert len(checks) == len(expected)
    assert find(checks, "results").level == "ok"
    for check in checks:
        assert (check.level == "ok") == (not check.remedy), check
        assert "\n" not in check.found + check.remedy
    assert not (tmp_path / "not").exists()
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_an_error_only_if_nothing_runs_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", absent)
    assert doctor._package("torch", None).level == "error"
    tracking = doctor._package("mlflow", "tracking")
    assert (tracking.level, tracking.remedy) == ("warning", "pip install 'agc-bench[tracking]'")


def fake_environment(
    monkeypatch: pytest.MonkeyPatch, own: list[str], installed: dict[str, tuple[str, list[str]]]
) -> None:
    def distribution(name: str) -> SimpleNamespace:
        if name not in installed:
            raise PackageNotFoundError(name)
        number, requirements = installed[name]
        return SimpleNamespace(version=number, requires=requirements)

    monkeypatch.setattr(doctor, "requires", lambda name: own)
    monkeypatch.setattr(doctor, "distribution", distribution)


def test_conflicts_are_found_at_any_depth_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_environment(
        monkeypatch,
        own=["Torch>=2.8", "timm", "mlflow>=3; extra == 'tracking'", "ruff>=9; extra == 'dev'"],
        installed={
            "torch": ("2.7.0", ["timm", "elsewhere; sys_platform == 'none'"]),
            "timm": ("1.0", ["torch", "deep-part[fast]<2"]),
            "deep-part": ("3.0", ["quick>=1; extra == 'fast'", "slow>=1; extra == 'other'"]),
        },
    )
    assert sorted(doctor.conflicts()) == [
        "agc-bench needs Torch>=2.8, but 2.7.0 is installed",
        "deep-part needs quick, which is not installed",
        "timm needs deep-part<2, but 3.0 is installed",
    ]
    assert doctor._conflicts().level == "error"


def test_the_pin_that_is_known_to_be_harmless_is_no_conflict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = {
        "torchattacks": ("3.5.1", ["requests~=2.25.1"]),
        "requests": ("2.34.2", []),
        "other": ("1", ["requests<2.30"]),
    }
    own = ["torchattacks==3.5.1; extra == 'attacks'"]
    fake_environment(monkeypatch, own, installed)
    assert doctor._conflicts().level == "ok"
    fake_environment(monkeypatch, [*own, "other"], installed)
    assert list(doctor.conflicts()) == ["other needs requests<2.30, but 2.34.2 is installed"]


@pytest.mark.parametrize(
    ("free", "level"), [(6 * 2**30, "ok"), (2**30, "warning"), (2**20, "error")]
)
def test_free_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    assert doctor._disk(tmp_path).level == level


def test_a_results_folder_that_cannot_be_written(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("")
    found = doctor._writable(place / "results")
    assert (found.level, bool(found.remedy)) == ("error", True)


def test_more_threads_than_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "100000")
    assert doctor._processors().level == "warning"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert doctor._processors().level == "ok"


def records(results: Path, *told: dict[str, object] | None) -> None:
    for number, provenance in enumerate(told):
        path = results / "cells" / f"cell-{number}" / "record.json"
        path.parent.mkdir(parents=True)
        path.write_text("{" if provenance is None else json.dumps({"provenance": provenance}))


def test_the_instruction_set_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LIMITS:
        monkeypatch.delenv(name, raising=False)
    capability = torch.backends.cpu.get_cpu_capability()
    old = {"device": "cpu"}
    same = {"device": "cpu", "cpu_capability": capability, "environment": {}}
    card = {"device": "cuda:0", "cpu_capability": "ANOTHER", "environment": {}}
    records(tmp_path, old, same, card, None)
    check = doctor._instructions(tmp_path)
    assert (check.level, check.remedy) == ("ok", "")
    assert check.found.startswith(f"{capability} on ")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    check = doctor._instructions(tmp_path / "none")
    assert check.found.startswith(f"{capability}, ONEDNN_MAX_CPU_ISA=AVX2 on ")


def test_records_of_another_instruction_set_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in LIMITS:
        monkeypatch.delenv(name, raising=False)
    told = {"device": "cpu", "cpu_capability": "ONE", "environment": {}}
    limited = told | {"environment": {"MKL_CBWR": "COMPATIBLE", "OMP_NUM_THREADS": "1"}}
    records(tmp_path, told, told, limited)
    assert recorded_instruction_sets(tmp_path) == {"ONE", "ONE, MKL_CBWR=COMPATIBLE"}
    check = doctor._instructions(tmp_path)
    assert check.level == "warning"
    assert " and ONE and ONE, MKL_CBWR=COMPATIBLE" in check.found
    assert check.remedy


def test_a_machine_with_a_card_adds_no_instruction_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records(tmp_path, {"device": "cpu", "cpu_capability": "ONE", "environment": {}})
    for has_card, level in ((True, "ok"), (False, "warning")):
        monkeypatch.setattr(doctor, "has_card", lambda has=has_card: has)
        assert doctor._instructions(tmp_path).level == level


def test_a_torch_that_cannot_be_imported_has_no_instruction_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise OSError("libtorch.so: cannot open shared object file")

    monkeypatch.setattr(doctor, "arithmetic", broken)
    check = doctor._instructions(tmp_path)
    assert (check.level, check.remedy) == ("error", "reinstall torch")


@pytest.mark.parametrize(("level", "verdict"), [("ok", True), ("warning", True), ("error", False)])
def test_the_report_fails_on_an_error_alone(
    monkeypatch: pytest.MonkeyPatch, level: str, verdict: bool
) -> None:
    checks = [Check("one", "ok", "fine"), Check("two", level, "found [here]", "mend it")]
    monkeypatch.setattr(doctor, "diagnose", lambda results: checks)
    console = Console(file=io.StringIO(), width=100)
    assert print_report(console) is verdict
    printed = console.file.getvalue()
    assert level in printed
    # Brackets are text, not colours.
    assert "found [here]" in printed
    assert "mend it" in printed
