"""Exported weights are those of the cell, whoever loads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from agc.errors import UserError
from agc.grids.cell import Cell
from agc.machine.device import Machine
from agc.records.export import export
from agc.records.weights import load_weights, read_weights
from agc.runs.train import CellRun
from agc.training.build import build_model, load_dataset


@pytest.fixture(scope="module")
def trained(
    tiny_cell: Callable, machine: Machine, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("export") / "cell"
    cell = tiny_cell(architecture="resnet8", method="rigl", sparsity=0.9)
    assert CellRun(cell, folder, machine).train() == "finished"
    return folder


def cell_of(folder: Path) -> Cell:
    from agc.grids.cell import read_cell

    return read_cell(folder / "cell.json")


def test_dense_weights_are_a_plain_state_dict(trained: Path, tmp_path: Path) -> None:
    found = export(trained, "dense", out=tmp_path / "dense.safetensors")
    cell = cell_of(trained)
    model = build_model(cell, load_dataset(cell), "cpu")
    model.load_state_dict(load_file(found["path"]))
    expected, _ = read_weights(trained / "model.safetensors")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, expected[name])
    assert found["sparsity"] == pytest.approx(0.9, abs=1e-3)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_sparse_matrices_are_the_weights(trained: Path, tmp_path: Path) -> None:
    found = export(trained, "csr", out=tmp_path / "csr.safetensors")
    expected, masks = read_weights(trained / "model.safetensors")
    with safe_open(found["path"], framework="pt") as stored:
        shapes = json.loads(stored.metadata()["shapes"])
        assert set(shapes) == set(masks)
        for name, shape in shapes.items():
            parts = [
                stored.get_tensor(f"{name}.{part}")
                for part in ("crow_indices", "col_indices", "values")
            ]
            matrix = torch.sparse_csr_tensor(*parts, size=(shape[0], int(np.prod(shape[1:]))))
            assert torch.equal(matrix.to_dense().reshape(shape), expected[name])
            assert len(parts[2]) == int(masks[name].sum())
    assert found["bytes"] < 0.3 * found["dense_bytes"]


def test_an_onnx_network_gives_the_same_logits(trained: Path, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="the ONNX runtime is not installed")
    found = export(trained, "onnx", "best", tmp_path / "network.onnx")
    cell = cell_of(trained)
    dataset = load_dataset(cell)
    model = build_model(cell, dataset, "cpu").eval()
    load_weights(model, trained / "best.safetensors")
    images = dataset.test.images[:7].float() / 255
    session = runtime.InferenceSession(str(found["path"]), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": images.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(logits, model(images).numpy(), rtol=1e-4, atol=1e-5)


def test_a_cell_that_is_not_trained_is_refused(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    cell_of(trained).write(folder)
    with pytest.raises(UserError, match="not trained"):
        export(folder, "dense")
    assert [path.name for path in folder.iterdir()] == ["cell.json"]
