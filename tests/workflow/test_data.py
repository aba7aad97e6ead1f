"""Data sets in the workflow: prepared once, and Fashion-MNIST all the way to its record."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pandas as pd
import pytest

from agc.datasets.fashion_mnist import SOURCE
from agc.datasets.shared.idx import read
from agc.datasets.shared.prepare import prepare
from agc.errors import UserError
from agc.records.read import read_record
from tests.support.dataset_files import sealed
from tests.support.project import Project, job_counts

TRAIN, TEST = 320, 64
ONE_JOB = {"cells_per_job": 9, "evaluations_per_job": 9}
packaged = pytest.mark.skipif(
    not SOURCE.system.is_dir(), reason="the Debian package dataset-fashion-mnist is not installed"
)


@pytest.fixture
def project(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("AGC_DATA_ROOT", str(tmp_path / "data"))
    return Project(tmp_path / "project", repository)


def plan(project: Project, grid: str) -> dict[str, int]:
    place = {"AGC_DATA_ROOT": str(project.folder.parent / "data")}
    code, output = project.snakemake("-n", variables=place, grid=grid, cells_per_job=99)
    assert code == 0, output
    return job_counts(output)


def test_each_store_is_prepared_by_one_job_and_digits_need_none(project: Project) -> None:
    project.grid("none")
    assert "prepare" not in plan(project, "none")
    extra = {"name": "svhn", "extra": True}
    project.grid("some", datasets=["digits", "cifar10", "svhn", extra], seeds=2)
    assert plan(project, "some")["prepare"] == 3


def part(folder: Path) -> Path:
    """The first images of the real Fashion-MNIST, as idx files."""
    folder.mkdir()
    for original in SOURCE.originals():
        array = read(SOURCE.system / original.name)
        array = array[: TRAIN if original.name.startswith("train") else TEST]
        magic = 2048 + array.ndim
        with gzip.open(folder / original.name, "wb") as file:
            file.write(struct.pack(f">{1 + array.ndim}i", magic, *array.shape) + array.tobytes())
    return folder


@packaged
def test_fashion_mnist_goes_all_the_way_from_the_package_to_the_comparison(
    project: Project,
) -> None:
    place = {"AGC_DATA_ROOT": str(project.folder.parent / "data")}
    files = part(project.folder.parent / "files")
    prepare("fashion-mnist", root=files, originals=sealed(files), download=False)
    training = {"epochs": 2, "batch_size": 64, "validation": 64, "augmentation": {"flip": True}}
    project.recipe("clothes", training=training, evaluation={"steps": 1})
    project.grid(
        "clothes",
        recipe="clothes",
        datasets=["fashion-mnist"],
        architectures=[{"name": "resnet8", "width": 4}],
        objectives=["standard"],
        methods=["rigl"],
    )
    code, output = project.snakemake(variables=place, grid="clothes", track=False, **ONE_JOB)
    assert code == 0, output
    assert "prepare" not in job_counts(output)
    for slug in project.cells("clothes"):
        record = read_record(project.cell(slug))
        assert record["status"] == "finished"
        assert record["sparsity"]["reached"] == pytest.approx(0.9, abs=1e-3)
        assert record["results"]["final"]["test_accuracy"] in [i / TEST for i in range(TEST + 1)]
    table = pd.read_csv(project.folder / "reports" / "clothes" / "comparison.csv")
    assert set(table["dataset"]) == {"fashion-mnist"}


@packaged
def test_the_workflow_prepares_the_whole_of_fashion_mnist(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = project.folder.parent / "data"
    project.grid("clothes", datasets=["fashion-mnist"])
    store = data / "prepared" / "fashion-mnist" / "manifest.json"
    place = {"AGC_DATA_ROOT": str(data)}
    code, output = project.snakemake(str(store), variables=place, grid="clothes")
    assert code == 0, output
    from agc.registry import DATASETS

    dataset = DATASETS.create("fashion-mnist", options={})
    assert len(dataset.train) == 60_000
    assert dataset.test.labels.bincount().tolist() == [1000] * 10
    # A store that is cut short is named by whoever reads it.
    images = store.with_name("train-images.npy")
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(UserError, match=f"{images} has "):
        DATASETS.create("fashion-mnist", options={})
