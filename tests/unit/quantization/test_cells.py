"""Quantised cells on the disk: they are evaluated and exported as they were trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from agc.conformance.cells import small_cell
from agc.machine.device import Machine
from agc.quantization.shared.layers import with_float_layers
from agc.records.export import export
from agc.records.weights import load_weights
from agc.runs.evaluate import evaluate_cell
from agc.runs.train import CellRun
from agc.training.build import build_model, load_dataset

CELL = small_cell("rigl", quantization={"name": "static", "options": {"forward": 4}})


@pytest.fixture(scope="module")
def trained(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quantised") / CELL.slug
    CELL.write(folder)
    assert CellRun(CELL, folder, machine).train() == "finished"
    return folder


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return load_dataset(CELL).test.images[:40].float() / 255


@pytest.fixture
def model(trained: Path) -> torch.nn.Module:
    found = build_model(CELL, load_dataset(CELL), "cpu").eval()
    load_weights(found, trained / "model.safetensors")
    return found


def test_a_record_has_the_accuracy_that_training_measured(trained: Path, machine: Machine) -> None:
    assert evaluate_cell(trained, machine) == "evaluated"
    record = json.loads((trained / "record.json").read_text())
    robustness = json.loads((trained / "robustness.json").read_text())
    found = robustness["final"]["clean_accuracy"]
    assert found == record["results"]["final"]["test_accuracy"]


def test_dense_weights_fit_the_float_network(
    trained: Path, tmp_path: Path, model: torch.nn.Module
) -> None:
    found = export(trained, "dense", out=tmp_path / "dense.safetensors")
    plain = small_cell("rigl")
    other = build_model(plain, load_dataset(plain), "cpu")
    other.load_state_dict(load_file(found["path"]))
    for name, weight in other.named_parameters():
        assert torch.equal(weight, model.get_parameter(name))


def test_a_small_network_has_the_rounded_weights(
    trained: Path, tmp_path: Path, model: torch.nn.Module, images: torch.Tensor
) -> None:
    found = export(trained, "small", out=tmp_path / "small.pt2")
    small = torch.export.load(found["path"]).module()
    logits = with_float_layers(model)(images)
    torch.testing.assert_close(small(images), logits, rtol=1e-4, atol=1e-4)


def test_an_onnx_network_rounds_as_ours_does(
    trained: Path, tmp_path: Path, model: torch.nn.Module, images: torch.Tensor
) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="the ONNX runtime is not installed")
    found = export(trained, "onnx", out=tmp_path / "network.onnx")
    session = runtime.InferenceSession(str(found["path"]), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": images.numpy()})
    with torch.no_grad():
        ours = model(images).numpy()
    # Where a last bit decides between two points, they are a step apart.
    assert np.median(np.abs(logits - ours)) < 1e-4
    assert (logits.argmax(1) == ours.argmax(1)).mean() > 0.9
