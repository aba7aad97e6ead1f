"""Exported weights are those of the cell, whoever loads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from typer.testing import CliRunner

from agc.cli import app
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


@pytest.fixture(scope="module")
def structured(
    tiny_cell: Callable, machine: Machine, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Trains a cell of a method that empties channels, once."""
    root = tmp_path_factory.mktemp("small")
    methods = {
        "small-dense": {"name": "small-dense"},
        "vr-pge": {"name": "vr-pge"},
        "srigl": {"name": "srigl", "options": {"min_salient": 0.9, "update_interval": 2}},
    }

    def train(name: str) -> Path:
        cell = tiny_cell(architecture="resnet8", method=methods[name], sparsity=0.7)
        assert CellRun(cell, root / name, machine).train() in ("finished", "skipped")
        return root / name

    return train


@pytest.mark.parametrize("method", ["small-dense", "vr-pge", "srigl"])
def test_a_small_network_needs_torch_alone_and_gives_the_same_logits(
    structured: Callable, tmp_path: Path, method: str
) -> None:
    folder = structured(method)
    found = export(folder, "small", out=tmp_path / "network.pt2")
    cell = cell_of(folder)
    dataset = load_dataset(cell)
    model = build_model(cell, dataset, "cpu").eval()
    load_weights(model, folder / "model.safetensors")
    images = dataset.test.images[:300].float() / 255
    np.save(tmp_path / "images.npy", images.numpy())
    code = (
        "import numpy, sys, torch\n"
        "network = torch.export.load('network.pt2').module()\n"
        "images = torch.from_numpy(numpy.load('images.npy'))\n"
        "parts = [network(part) for part in images.split([1, 2, 297])]\n"
        "numpy.save('logits.npy', torch.cat(parts).detach().numpy())\n"
        "assert not {'agc', 'timm'} & set(sys.modules)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    with torch.no_grad():
        expected = model(images).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), expected, rtol=1e-4, atol=1e-5)
    for key in ("channels", "parameters", "flops"):
        before, after = found[key]
        assert 0 < after < before
    assert found["channels"][1] == sum(after for _, after in found["layers"].values())


def test_the_command_counts_what_a_small_network_saves(structured: Callable) -> None:
    result = CliRunner().invoke(app, ["export", str(structured("small-dense")), "-f", "small"])
    assert result.exit_code == 0, result.output
    assert "of 250 channels removed; parameters 75,002 -> " in result.output
    assert "net.blocks.2.conv2: 64 -> " in result.output


def test_masks_without_an_empty_channel_leave_the_network_as_it_is(
    trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "network.pt2"
    result = CliRunner().invoke(app, ["export", str(trained), "-f", "small", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "no channel is empty: all 250 stay" in result.output


def test_a_network_that_cannot_be_followed_is_refused(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agc.architectures.resnet_cifar import BasicBlock

    forward = BasicBlock.forward
    monkeypatch.setattr(
        BasicBlock, "forward", lambda self, x: forward(self, x if x.sum() > 0 else -x)
    )
    with pytest.raises(UserError, match=r"resnet8: the channels of 'net.blocks.0' of this"):
        export(trained, "small", out=tmp_path / "network.pt2")
    assert not list(tmp_path.iterdir())


def test_a_cell_that_is_not_trained_is_refused(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    cell_of(trained).write(folder)
    with pytest.raises(UserError, match="not trained"):
        export(folder, "dense")
    assert [path.name for path in folder.iterdir()] == ["cell.json"]
