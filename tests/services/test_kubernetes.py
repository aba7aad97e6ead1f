"""A pod a job: manifests and pods fit Kubernetes' schemas, and cells stay on the volume."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.services.kubernetes_api import Cluster
from tests.support.project import Project

KUBERNETES = "1.37"
NEEDED = ("snakemake_executor_plugin_kubernetes", "snakemake_storage_plugin_fs")
PROFILE = ("--workflow-profile", "workflows/profiles/kubernetes")
TINY = {"objectives": ["standard"], "methods": ["rigl"]}


@pytest.fixture
def validate():
    module = pytest.importorskip(
        "kubernetes_validate", reason="not installed: pip install kubernetes-validate"
    )
    return lambda body: module.validate(body, KUBERNETES, strict=True)


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Project:
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install 'agc-bench[kubernetes]'")
    if shutil.which("rsync") is None:
        pytest.skip("rsync is not installed: apt-get install rsync")
    made = Project(tmp_path / "project", repository)
    made.grid("tiny", **TINY)
    return made


@pytest.mark.parametrize("profile", ["pod", "kubernetes"])
def test_manifests_fit_the_schemas(repository: Path, profile: str, validate) -> None:
    path = repository / "workflows" / "profiles" / profile / "job.yaml"
    for part in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        validate(part)


def test_the_controller_mounts_what_the_profile_names(repository: Path) -> None:
    folder = repository / "workflows" / "profiles" / "kubernetes"
    *_, job = yaml.safe_load_all((folder / "job.yaml").read_text(encoding="utf-8"))
    profile = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (mount,) = container["volumeMounts"]
    (volume,) = pod["volumes"]
    claim = volume["persistentVolumeClaim"]["claimName"]
    assert profile["kubernetes-persistent-volumes"] == [f"{claim}:{mount['mountPath']}"]
    assert profile["default-storage-prefix"] == mount["mountPath"]
    assert profile["container-image"] == container["image"]


def test_a_job_asks_for_a_pod_with_a_card_and_the_volume(
    project: Project, tmp_path: Path, validate
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    with Cluster(tmp_path) as cluster:
        code, output = project.snakemake(
            *PROFILE,
            *("--default-storage-prefix", str(volume), "--retries", "0"),
            *("--seconds-between-status-checks", "1"),
            variables={"KUBECONFIG": str(cluster.config)},
            grid="tiny",
        )
    # The pods fail, as there are none; what is made before them lies on the volume.
    assert code == 1
    assert "Failed to create pod" not in output
    for slug in project.cells("tiny"):
        assert (volume / "results" / "cells" / slug / "cell.json").is_file(), output
    (job,) = cluster.jobs
    # The address that it was sent to says what it is.
    validate({"apiVersion": "batch/v1", "kind": "Job", **job})
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["image"] == "agc-kubernetes:0.1.0"
    assert {"name": "agc", "mountPath": "/agc"} in container["volumeMounts"]
    assert any(call.startswith("DELETE") for call in cluster.others)


def test_with_a_folder_as_storage_cells_are_trained_in_it(project: Project, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    # One cell: each rule is run as for a thousand of them.
    project.grid("one", **TINY, corrections=["none"])
    storage = ("--default-storage-provider", "fs", "--default-storage-prefix", str(volume))
    code, output = project.snakemake(*storage, grid="one", track=False)
    assert code == 0, output
    (slug,) = project.cells("one")
    cell = volume / "results" / "cells" / slug
    assert json.loads((cell / "record.json").read_text())["status"] == "finished"
    # No output of a job: only what is trained on the volume itself is there.
    assert (cell / "model.safetensors").is_file()
    assert (volume / "reports" / "one" / "report.html").is_file()
    assert not (project.folder / "results" / "cells").exists()
