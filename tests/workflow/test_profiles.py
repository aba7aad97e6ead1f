"""Profiles: their flags are Snakemake's own, and the command of the pod plans the grid."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from agc.grids.grid import load_grid
from agc.planning.planned import Request, job_request, write_plan
from agc.planning.seconds import cost
from tests.support.project import EXECUTABLES, Project, environment, job_counts
from tests.support.timings import ROUND

TINY = {"objectives": ["standard"], "methods": ["rigl"]}


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Project:
    made = Project(tmp_path / "project", repository)
    made.grid("tiny", **TINY)
    return made


def test_the_command_of_the_pod_plans_the_grid_on_its_volume(
    project: Project, tmp_path: Path, repository: Path
) -> None:
    text = (repository / "workflows" / "profiles" / "pod" / "job.yaml").read_text()
    claim, job = yaml.safe_load_all(text)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert claim["metadata"]["name"] == pod["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }
    assert container["command"] == ["snakemake"]
    # As many jobs at once as the pod has cores, and as many cores as GPUs: not those of the node.
    (cores,) = (v["valueFrom"] for v in container["env"] if v["name"] == "CORES")
    assert cores == {"resourceFieldRef": {"resource": "requests.cpu"}}
    sizes = container["resources"]
    assert sizes["requests"]["cpu"] == sizes["limits"]["nvidia.com/gpu"]
    values = {"$(CORES)": sizes["requests"]["cpu"], "grid=digits": "grid=tiny"}
    volume = tmp_path / "volume"
    arguments = [
        values.get(argument, argument).replace("/agc/", f"{volume}/")
        for argument in container["args"]
    ]
    done = subprocess.run(
        [str(EXECUTABLES / "snakemake"), "-n", *arguments],
        cwd=project.folder,
        env=environment(),
        capture_output=True,
        text=True,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    # One job of training: cells_per_job reaches the workflow.
    assert job_counts(output)["train"] == 1
    assert f"{volume}/results/cells" in output


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_a_gpu_is_asked_for_unless_cells_train_on_the_cpu(project: Project, device: str) -> None:
    code, output = project.snakemake(
        "-n", grid="tiny", device=device, train_minutes=17, memory_mb=2500
    )
    assert code == 0, output
    gpus = 0 if device == "cpu" else 1
    found = re.search(r"rule train_0:.*?resources: ([^\n]*)", output, re.DOTALL)
    assert found is not None, output
    asked = found[1]
    assert f"gpu={gpus}" in asked
    assert "runtime=17" in asked
    assert "mem_mb=2500" in asked


def test_a_job_asks_for_what_was_predicted_of_its_cells(project: Project) -> None:
    def asked() -> str:
        code, output = project.snakemake("-n", grid="tiny")
        assert code == 0, output
        found = re.search(r"rule train_0:.*?resources: ([^\n]*)", output, re.DOTALL)
        assert found is not None, output
        return found[1]

    # Nobody knows before the cells are planned; then, on a machine that nobody timed, as usual.
    assert "runtime=<TBD>" in asked()
    cells = list(load_grid("tiny", project.folder / "workflows").cells)
    folders = [project.folder / "results" / "cells" / cell.slug for cell in cells]
    for cell, folder in zip(cells, folders, strict=True):
        cell.write(folder)
    assert "mem_mb=4000" in asked()
    assert "runtime=240" in asked()
    for cell, folder in zip(cells, folders, strict=True):
        write_plan(folder, cell, cost(cell, ROUND, "here"), 10.0, "now")
    request = job_request(folders, [], "train", Request(240, 4000))
    assert f"mem_mb={request.megabytes}" in asked()
    assert f"runtime={request.minutes}" in asked()
