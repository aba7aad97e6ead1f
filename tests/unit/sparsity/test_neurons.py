"""Neurons, found by what a layer computes: which weights an output channel depends on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from agc import SRigL, rng
from agc.corrections.centralize import Centralize
from agc.corrections.sparse_skew import SparseSkew
from agc.evaluation.topology import TopologyWatch
from agc.methods.n_m import NM
from agc.sparsity.neurons import Neurons, neurons, row_shapes

LAYERS = {
    "linear": (nn.Linear(6, 4), (2, 6)),
    "conv": (nn.Conv2d(6, 4, 3), (1, 6, 5, 5)),
    "grouped conv": (nn.Conv2d(6, 4, 3, groups=2), (1, 6, 5, 5)),
    "depthwise conv": (nn.Conv1d(4, 8, 3, groups=4), (1, 4, 5)),
    "transposed conv": (nn.ConvTranspose2d(6, 4, 3), (1, 6, 3, 3)),
    "grouped transposed conv": (nn.ConvTranspose2d(6, 4, 2, groups=2), (1, 6, 3, 3)),
    "transposed depthwise conv": (nn.ConvTranspose1d(4, 8, 3, groups=4), (1, 4, 5)),
    "transposed conv in 3-d": (nn.ConvTranspose3d(4, 6, 2, groups=2), (1, 4, 2, 2, 2)),
}


def channel_weights(layer: nn.Module, shape: tuple[int, ...]) -> list[Tensor]:
    """For each output channel a boolean mask of the weights that it depends on."""
    outputs = layer(torch.ones(shape))
    axis = -1 if isinstance(layer, nn.Linear) else 1
    found = []
    for channel in outputs.movedim(axis, 0):
        gradient = torch.autograd.grad(channel.sum(), layer.weight, retain_graph=True)[0]
        found.append(gradient != 0)
    return found


@pytest.mark.parametrize("kind", LAYERS)
def test_a_row_has_the_weights_that_an_output_channel_depends_on(kind: str) -> None:
    layer, shape = LAYERS[kind]
    layout = neurons(layer, {"weight": layer.weight})["weight"]
    expected = channel_weights(layer, shape)
    rows = layout.rows(layer.weight)
    assert len(rows) == len(expected)
    assert row_shapes({"weight": layout}, [("weight", layer.weight)])["weight"] == rows.shape
    for number, wanted in enumerate(expected):
        mark = torch.zeros(rows.shape, dtype=torch.bool)
        mark[number] = True
        assert torch.equal(layout.back(mark), wanted)
    assert torch.equal(layout.back(rows), layer.weight)
    if "transposed" not in kind:
        assert rows is layer.weight  # nothing is copied, and no bit changes


def test_of_a_shared_weight_the_layer_that_computes_with_it_decides() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(9, 4), nn.Linear(4, 9)
            self.head.weight = self.embed.weight
            self.up = nn.ConvTranspose1d(4, 6, 3)
            self.table = nn.Parameter(torch.zeros(1, 5, 4))

    model = Tied()
    found = neurons(model, dict(model.named_parameters()))
    assert found["up.weight"] == Neurons(groups=1)
    assert found["embed.weight"] == found["table"] == Neurons()


def decoder() -> nn.Module:
    with rng.isolated(1):
        return nn.Sequential(
            nn.Conv2d(2, 8, 3),
            nn.ConvTranspose2d(8, 12, 3),
            nn.ConvTranspose2d(12, 8, 3, groups=2),
            nn.Flatten(),
            nn.Linear(512, 4),
        )


def fan_ins(model: nn.Module, masks: dict[str, Tensor]) -> dict[str, Tensor]:
    """Active weights of each output channel of the transposed layers, by what depends on them."""
    inputs = {"1.weight": (1, 8, 4, 4), "2.weight": (1, 12, 6, 6)}
    return {
        name: torch.stack(
            [masks[name][mine].sum() for mine in channel_weights(model[int(name[0])], shape)]
        )
        for name, shape in inputs.items()
    }


def test_the_fan_in_of_transposed_convolutions_is_constant() -> None:
    model = decoder()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    method = SRigL(
        model, optimizer, sparsity=0.8, total_steps=20, update_interval=1, min_salient=0.0
    )
    for _ in range(4):
        for found in fan_ins(model, method.masks).values():
            assert found.min() == found.max() > 0
        with method.updating():
            optimizer.zero_grad()
            with method.shown(None, None):
                model(torch.randn(4, 2, 6, 6, generator=rng.generator(0, "x"))).square().sum().mul(
                    1e-6
                ).backward()
                method.observe()
            optimizer.step()
    assert method.sparsity() == pytest.approx(method.target)


def test_groups_of_n_m_run_along_the_inputs_of_transposed_convolutions() -> None:
    model = decoder()
    method = NM(model, torch.optim.SGD(model.parameters(), lr=0.1), sparsity=0.5)
    # [in, out, h, w]: of each four consecutive inputs of one output and place two are active.
    mask = method.masks["1.weight"]
    assert (mask.reshape(2, 4, 12, 3, 3).sum(dim=1) == 2).all()
    # Six inputs a group: four, and a rest of two that keeps one.
    found = fan_ins(model, method.masks)["2.weight"]
    assert ((found - 27).abs() <= 1).all()
    assert (method.masks["2.weight"].reshape(2, 6, 4, 9)[:, :4].sum(dim=1) <= 4).all()


def test_corrections_and_measurements_go_by_the_neurons_of_transposed_convolutions() -> None:
    model = nn.ConvTranspose2d(6, 4, 2, groups=2).double()
    mask = torch.rand(6, 2, 2, 2, generator=rng.generator(2, "mask")) < 0.6
    mine = channel_weights(model.float(), (1, 6, 3, 3))
    model.double()
    raw = torch.randn(6, 2, 2, 2, generator=rng.generator(3, "gradient"), dtype=torch.float64)
    for kind in (Centralize, SparseSkew):
        correction = kind(model)
        correction.attach(SimpleNamespace(masks={"weight": mask}))
        model.weight.grad = raw.clone()
        correction.correct(None, None)
        shares = torch.stack([mask[one].float().mean() for one in mine])
        for number, one in enumerate(mine):
            active = one & mask
            before, after = raw[active], model.weight.grad[active]
            expected = before - before.mean()
            if kind is SparseSkew:
                expected = before * (shares[number] / shares.mean()).sqrt().double()
            torch.testing.assert_close(after, expected, rtol=0, atol=1e-7)
    mask[:, 0] = False
    watched = SimpleNamespace(
        model=model, parameters={"weight": model.weight}, masks={"weight": mask}
    )
    watched.explored = watched.masks
    whole, layers = TopologyWatch(watched).measure(watched, 1)
    assert (layers[0]["neurons"], whole["dead_neurons"]) == (4, 2)
