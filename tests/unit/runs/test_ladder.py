"""``agc evaluate --attacks``: files, resumption, subsets, worst cases, records."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agc.datasets.base import Split
from agc.datasets.shared.prepare import prepare
from agc.files import read_json, write_json
from agc.grids.cell import Cell, make_cell
from agc.machine.device import Machine
from agc.records.read import read_epochs, read_record
from agc.runs import ladder
from agc.runs.train import CellRun
from agc.training.build import build_model, load_dataset
from tests.support.command_line import agc
from tests.support.image_files import folders, imagenet

pytest.importorskip("torchattacks", reason="pip install 'agc-bench[attacks]'")
FEW = ("--set", "apgd-ce.steps=3", "--set", "pgd-50x10.restarts=2")


@pytest.fixture(scope="module")
def trained(
    tiny_cell: Callable, machine: Machine, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Cell, Path]:
    """An adversarially trained cell whose best epoch is chosen by robust accuracy."""
    cell = tiny_cell(
        objective={"name": "trades", "options": {"epsilon": 0.1, "step_size": 0.06, "steps": 2}},
        evaluation={"epsilon": 0.05, "step_size": 0.02, "steps": 4, "validation_steps": 2},
        training={"epochs": 4, "validation": 1437 - 8 * 64},
    )
    folder = tmp_path_factory.mktemp("results") / "cells" / cell.slug
    assert CellRun(cell, folder, machine).train() == "finished"
    done = agc("evaluate", folder)
    assert done.code == 0, done
    return cell, folder


@pytest.fixture
def folder(trained: tuple[Cell, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained[1], tmp_path / trained[0].slug))


def attacked(folder: Path, *names: str, extra: tuple[Any, ...] = ()) -> dict[str, Any]:
    """Results of the final weights after attacks."""
    done = agc("evaluate", folder, "--attacks", ",".join(names), *extra)
    assert done.code == 0, done
    return read_record(folder)["results"]["final"]


def outcome(folder: Path, name: str, weights: str = "final") -> str:
    return read_json(folder / "attacks" / f"{name}.{weights}.json")["outcomes"]


def test_selection_and_calibration_are_recorded(trained: tuple[Cell, Path]) -> None:
    cell, folder = trained
    record = read_record(folder)
    with (folder / "epochs.csv").open() as file:
        rows = list(csv.DictReader(file))
    robust = [float(row["validation_robust_accuracy"]) for row in rows]
    best = record["results"]["best"]
    assert best["validation_robust_accuracy"] == max(robust)
    assert best["epoch"] == 1 + robust.index(max(robust))
    assert all(float(r["validation_accuracy"]) >= x for r, x in zip(rows, robust, strict=True))
    assert len(read_epochs(folder, record)) == cell.training.epochs
    for result in record["results"].values():
        assert 0 < result["calibration_error"] < 1
        # The network's loss on clean test images, measured twice.
        assert result["negative_log_likelihood"] == pytest.approx(result["test_loss"], rel=1e-4)
    assert record["costs"]["units_per_epoch"] == 3 * 2 + 1 + 6


def test_only_adversarial_objectives_are_selected_by_robust_accuracy(tiny_cell: Callable) -> None:
    robust = {"validation_steps": 3}
    assert tiny_cell(evaluation=robust).slug == tiny_cell().slug
    hard = {"objective": "pgd-at"}
    assert tiny_cell(evaluation=robust, **hard).slug != tiny_cell(**hard).slug


def test_the_worst_case_is_taken_image_by_image(folder: Path) -> None:
    before = read_record(folder)["results"]["final"]
    found = attacked(folder, "fgsm", "apgd-ce", extra=FEW[:2])
    one, two = outcome(folder, "fgsm"), outcome(folder, "apgd-ce")
    both = [a == b == "1" for a, b in zip(one, two, strict=True)]
    assert len(both) == 360
    assert found["worst_case"] == [
        {"images": 360, "attacks": ["apgd-ce", "fgsm"], "accuracy": sum(both) / 360}
    ]
    assert found["attacks"]["fgsm"]["accuracy"] == one.count("1") / 360
    assert found["attacks"]["apgd-ce"]["options"] == {"steps": 3}
    assert found["worst_case"][0]["accuracy"] <= before["test_accuracy"]
    # The standard evaluation stays what it was.
    assert {key: found[key] for key in before} == before


def test_attacks_that_are_done_are_not_done_again(folder: Path, monkeypatch) -> None:
    attacked(folder, "fgsm")
    first = outcome(folder, "fgsm")
    times = {path: path.stat().st_mtime_ns for path in (folder / "attacks").iterdir()}
    made: list[str] = []
    real = ladder._attack
    monkeypatch.setattr(ladder, "_attack", lambda *given: (made.append(given[3]), real(*given))[1])
    found = attacked(folder, "fgsm", "pgd-20")
    assert set(made) == {"pgd-20"}
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    assert sorted(found["attacks"]) == ["fgsm", "pgd-20"]
    # Other weights under the same name: done anew, and not counted until then.
    path = folder / "attacks" / "fgsm.final.json"
    write_json(path, {**read_json(path), "digest": "0" * 64, "outcomes": "0" * 360})
    agc("evaluate", folder)
    assert "fgsm" in attacked(folder, "fgsm")["attacks"]
    assert outcome(folder, "fgsm") == first


def test_an_interrupted_list_goes_on_with_the_next_attack(folder: Path, monkeypatch) -> None:
    real, made = ladder._attack, []

    def interrupted(*given):
        made.append(given[3])
        if len(made) == 2:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(ladder, "_attack", interrupted)
    assert agc("evaluate", folder, "--attacks", "fgsm,pgd-20").code == 130
    assert [path.name for path in (folder / "attacks").iterdir()] == ["fgsm.final.json"]
    attacked(folder, "fgsm", "pgd-20")
    assert made[:3] == ["fgsm", "pgd-20", "pgd-20"]


def test_a_ladder_spares_what_has_fallen(folder: Path) -> None:
    whole = attacked(folder, "pgd-20", "pgd-50x10", extra=FEW[2:])["attacks"]
    assert whole["pgd-50x10"]["spared"] == []
    found = attacked(folder, "pgd-20", "pgd-50x10", extra=("--survivors", *FEW[2:]))
    assert found["attacks"]["pgd-50x10"]["spared"] == ["pgd-20"]
    pairs = zip(outcome(folder, "pgd-20"), outcome(folder, "pgd-50x10"), strict=True)
    assert all(first == "1" for first, second in pairs if second == "1")
    assert found["worst_case"][0]["accuracy"] == found["attacks"]["pgd-50x10"]["accuracy"]


def test_a_choice_of_images_is_the_same_for_every_attack_and_part_of_larger_ones(
    folder: Path,
) -> None:
    attacked(folder, "fgsm", extra=("--images", 50))
    attacked(folder, "pgd-20", extra=("--images", 20))
    found = attacked(folder, "apgd-ce", extra=FEW[:2])
    large, small = outcome(folder, "fgsm"), outcome(folder, "pgd-20")
    assert [mark != "-" for mark in small].count(True) == 20
    assert all(a != "-" for a, b in zip(large, small, strict=True) if b != "-")
    worst = found["worst_case"]
    assert [(w["images"], w["attacks"]) for w in worst] == [
        (360, ["apgd-ce"]),
        (50, ["apgd-ce", "fgsm"]),
        (20, ["apgd-ce", "fgsm", "pgd-20"]),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--attacks", "pgd20"), "unknown attack 'pgd20'; did you mean 'pgd-20'?"),
        (("--attacks", "square", "--set", "square.query=3"), "unknown option of attack 'square'"),
        (("--attacks", "square", "--set", "cw.steps=3"), "'cw' is not among --attacks"),
        (("--attacks", "cw", "--set", "cw.steps"), "expected ATTACK.OPTION=VALUE"),
        (("--attacks", "cw", "--set", "cw.steps=0"), "option steps = 0"),
    ],
)
def test_bad_attacks_are_one_clear_line(
    folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    assert message in agc("evaluate", folder, *arguments).message
    assert not (folder / "attacks").exists()


def test_autoattack_without_its_library_says_what_to_install(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr("agc.attacks.base.find_spec", lambda name: None)
    message = agc("evaluate", folder, "--attacks", "fgsm,autoattack").message
    assert message.endswith(
        "attack 'autoattack': it needs pyautoattack: pip install 'agc-bench[autoattack]'"
    )
    assert not (folder / "attacks").exists()


def test_the_bench_compares_our_attack_with_the_library_s() -> None:
    shown = agc("bench", "attack", "--batch", 8, "--steps", 2, "--rounds", 1)
    assert shown.code == 0, shown
    assert "torchattacks" in shown.out
    assert agc("bench", "attack", "--precision", "half").message.startswith("precision 'half'")


@pytest.fixture(params=["image-folder", "imagenet"])
def streamed(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Cell:
    """A cell on images that are decoded when they are needed."""
    monkeypatch.setenv("AGC_DATA_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("AGC_LOADER_WORKERS", "0")
    if request.param == "imagenet":
        made, _, _ = imagenet(tmp_path / "files")
        prepare("imagenet", root=made.folder, originals=made.originals, download=False)
        options = {"size": 16}
    else:
        options = {"root": str(folders(tmp_path / "images", 6)), "size": 16}
    return make_cell(
        {
            "dataset": {"name": request.param, "options": options},
            "architecture": {"name": "resnet8", "options": {"width": 4}},
            "method": "rigl",
            "sparsity": 0.5,
            "correction": "agc",
            "training": {"epochs": 2, "batch_size": 4, "validation": 3},
        }
    )


def test_a_cell_on_streamed_images_takes_every_command(
    streamed: Cell, machine: Machine, tmp_path: Path
) -> None:
    folder = tmp_path / streamed.slug
    assert CellRun(streamed, folder, machine).train() == "finished"
    found = attacked(folder, "fgsm", "pgd-20", "square", extra=("--set", "square.queries=2"))
    assert set(found["attacks"]) == {"fgsm", "pgd-20", "square"}
    for command in (("diagnose", folder, "--batches", 2), ("export", folder, "--format", "small")):
        done = agc(*command)
        assert done.code == 0, done


def test_streamed_images_are_attacked_as_the_same_images_in_memory(
    streamed: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "IMAGES", 2)
    dataset = load_dataset(streamed)
    model = build_model(streamed, dataset, "cpu").eval()
    plan = ladder.Plan((("pgd-50x10", {"restarts": 2}), ("fgsm", {})), survivors=True)
    outcomes = []
    for name, test in (
        ("streamed", dataset.test),
        ("memory", Split(dataset.test.images[:], dataset.test.labels)),
    ):
        ladder.climb(model, test, streamed, plan, tmp_path / name, "final", "")
        files = sorted((tmp_path / name).iterdir())
        outcomes.append([read_json(path)["outcomes"] for path in files])
    assert len(outcomes[0]) == 2
    assert outcomes[0] == outcomes[1]
