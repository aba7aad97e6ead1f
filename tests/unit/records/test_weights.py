"""Weights on the disk: nothing is lost, and little space is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from agc import Static
from agc.errors import UserError
from agc.records.weights import (
    load_weights,
    pack_bits,
    read_weights,
    save_weights,
    unpack_bits,
)


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Conv2d(3, 40, 3), nn.BatchNorm2d(40), nn.ReLU(), nn.Conv2d(40, 50, 3)
        ).to(memory_format=torch.channels_last)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_bits_are_packed_as_numpy_packs_them(bits: list[bool]) -> None:
    packed = pack_bits(torch.tensor(bits))
    np.testing.assert_array_equal(packed.numpy(), np.packbits(bits))
    assert unpack_bits(packed, len(bits)).tolist() == bits


def test_a_sparse_network_comes_back_to_the_bit_and_is_small(tmp_path: Path) -> None:
    model, path = network(), tmp_path / "model.safetensors"
    method = Static(model, sparsity=0.95)
    save_weights(path, model.state_dict(), method.masks, "a.cell")
    other = network()
    with torch.no_grad():
        for tensor in other.state_dict().values():
            tensor.fill_(7)
    masks = load_weights(other, path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    for name, mask in method.masks.items():
        assert torch.equal(mask, masks[name])
    dense = sum(p.numel() for p in method.parameters.values()) * 4
    kept = 0.05 * dense + dense / 32
    rest = sum(t.nbytes for n, t in model.state_dict().items() if n not in method.masks)
    assert path.stat().st_size < kept + rest + 1500


@pytest.mark.parametrize("damage", ["truncated", "bits", "format", "network"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    model, path = network(), tmp_path / "model.safetensors"
    method = Static(model, sparsity=0.9)
    save_weights(path, model.state_dict(), method.masks, "a.cell")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "bits":
        name = next(iter(method.masks))
        smaller = {**method.masks, name: method.masks[name][:1]}
        state = {**model.state_dict(), name: model.state_dict()[name][:1]}
        save_weights(path, state, smaller, "a.cell")
    elif damage == "format":
        save_file({"x": torch.zeros(1)}, path)
    else:
        model = nn.Sequential(nn.Linear(2, 2))
    before = [t.clone() for t in model.state_dict().values()]
    with pytest.raises(UserError, match=r"model\.safetensors"):
        load_weights(model, path)
    assert (
        all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))
        or damage == "bits"
    )


def test_reading_needs_no_network(tmp_path: Path) -> None:
    model, path = network(), tmp_path / "model.safetensors"
    method = Static(model, sparsity=0.9)
    save_weights(path, model.state_dict(), method.masks, "a.cell")
    state, masks = read_weights(path)
    assert set(state) == set(model.state_dict())
    assert set(masks) == set(method.masks)
