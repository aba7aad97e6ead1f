from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from agc import rng
from agc.attacks.shared.pgd import attacked, pgd
from agc.attacks.shared.threat import BALLS

NORMS = ["linf", "l2"]


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    """A network with all that an attack could disturb, in mixed modes, one weight frozen."""
    with rng.isolated(1):
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(6 * 16, 5),
        ).to(dtype)
    model[0].bias.requires_grad_(False)
    model[1].eval()
    return model


def images(count: int = 8, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = rng.generator(0, "images")
    pixels = torch.rand(count, 1, 4, 4, generator=generator, dtype=dtype)
    # Some pixels lie on the edge, where half of the ball is cut off.
    pixels = (1.4 * pixels - 0.2).clamp(0, 1)
    return pixels, torch.randint(5, (count,), generator=generator)


def attack(model: nn.Module, seed: int = 0, reduction: str = "sum", **changes: object) -> Tensor:
    pixels, labels = images(dtype=next(model.parameters()).dtype)
    options = {"epsilon": 0.1, "step_size": 0.03, "steps": 5, **changes}

    def loss(logits: Tensor) -> Tensor:
        return cross_entropy(logits, labels, reduction=reduction)

    return pgd(model, pixels, loss, generator=rng.generator(seed, "attack"), **options)


@settings(max_examples=30)
@given(
    epsilon=st.floats(0, 1),
    step_size=st.floats(0, 1),
    steps=st.integers(1, 4),
    seed=st.integers(0, 99),
    norm=st.sampled_from(NORMS),
    start=st.sampled_from(["uniform", "normal", "none"]),
)
def test_attacked_images_stay_in_the_ball_and_in_the_unit_interval(
    epsilon: float, step_size: float, steps: int, seed: int, norm: str, start: str
) -> None:
    options = {"epsilon": epsilon, "step_size": step_size, "steps": steps}
    found = attack(network(), seed, norm=norm, start=start, **options)
    assert found.min() >= 0
    assert found.max() <= 1
    change = (found - images()[0]).flatten(1)
    length = change.abs().amax(dim=1) if norm == "linf" else change.norm(dim=1)
    assert length.max() <= epsilon + 1e-6
    assert torch.equal(BALLS[norm](images()[0], epsilon).distance(found), length)
    assert not found.requires_grad


@pytest.mark.parametrize("batch_norm", ["eval", "train"])
@pytest.mark.parametrize("norm", NORMS)
def test_an_attack_touches_nothing_but_the_images(norm: str, batch_norm: str) -> None:
    model = network()
    model[1].train()
    pixels = images()[0]
    model(pixels).sum().backward()
    tensors = [*model.parameters(), *model.buffers(), *(p.grad for p in model.parameters())]
    tensors = [t for t in tensors if t is not None]
    before = [t.clone() for t in tensors]
    flags = [p.requires_grad for p in model.parameters()]
    modes = [module.training for module in model.modules()]
    stream = torch.get_rng_state()
    attack(model, norm=norm, batch_norm=batch_norm)
    assert all(torch.equal(t, b) for t, b in zip(tensors, before, strict=True))
    assert [p.requires_grad for p in model.parameters()] == flags
    assert flags.count(False) == 1
    assert [module.training for module in model.modules()] == modes
    assert model[1].track_running_stats
    assert torch.equal(torch.get_rng_state(), stream)
    assert torch.equal(images()[0], pixels)


def test_flags_and_modes_come_back_after_an_error_too() -> None:
    model = network()

    def fail() -> None:
        with attacked(model):
            assert not any(p.requires_grad for p in model.parameters())
            assert not any(module.training for module in model.modules())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [p.requires_grad for p in model.parameters()].count(False) == 1
    assert [module.training for module in model.modules()].count(False) == 1


def test_batch_statistics_are_those_of_the_batch_only_where_layers_train() -> None:
    model = network()
    frozen = attack(model, batch_norm="train")
    assert torch.equal(frozen, attack(model, batch_norm="eval"))
    model[1].train()
    assert torch.equal(attack(model, batch_norm="eval"), frozen)
    assert not torch.equal(attack(model, batch_norm="train"), frozen)


def test_an_attack_under_autocast_stays_close_to_that_in_single_precision() -> None:
    model = network().to(memory_format=torch.channels_last)
    seen = []
    model.register_forward_hook(lambda module, given, output: seen.append(output.dtype))
    half = attack(model, precision="bfloat16")
    assert set(seen) == {torch.bfloat16}
    assert half.dtype == torch.float32
    assert (half - images()[0]).abs().max() <= 0.1 + 1e-6
    assert ((half - attack(model)).abs() < 1e-6).double().mean() > 0.8


def test_the_ball_of_euclidean_length_works_for_any_memory_format() -> None:
    model = network().to(memory_format=torch.channels_last)
    torch.testing.assert_close(attack(model, norm="l2"), attack(network(), norm="l2"))


def test_only_the_input_gets_a_gradient() -> None:
    model = network()
    reached: list[bool] = []
    for parameter in model.parameters():
        parameter.register_hook(lambda _: reached.append(True)) if parameter.requires_grad else None
    attack(model)
    assert not reached


def test_an_attack_works_where_gradients_are_off() -> None:
    model = network()
    with torch.no_grad():
        found = attack(model)
    assert torch.equal(found, attack(model))


def test_an_attack_follows_from_its_generator() -> None:
    model = network()
    assert torch.equal(attack(model, seed=1), attack(model, seed=1))
    assert not torch.equal(attack(model, seed=1), attack(model, seed=2))


def test_more_steps_raise_the_loss() -> None:
    model = network().eval()
    labels = images()[1]
    clean = cross_entropy(model(images()[0]), labels).item()
    losses = []
    for steps in (1, 3, 10):
        found = [
            cross_entropy(model(attack(model, seed, steps=steps)), labels) for seed in range(5)
        ]
        losses.append(torch.stack(found).mean().item())
    assert clean < losses[0] < losses[1] < losses[2]


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("norm", NORMS)
def test_our_attack_is_the_one_of_torchattacks_from_the_same_start(
    norm: str, reduction: str
) -> None:
    torchattacks = pytest.importorskip("torchattacks")
    model = network(torch.float64).eval()
    pixels, labels = images(dtype=torch.float64)
    kind = {"linf": torchattacks.PGD, "l2": torchattacks.PGDL2}[norm]
    theirs = kind(model, eps=0.5, alpha=0.15, steps=7)
    with rng.isolated(rng.derive(3, "attack")):
        expected = theirs(pixels, labels)
    options = {"epsilon": 0.5, "step_size": 0.15, "steps": 7}
    found = attack(model, seed=3, reduction=reduction, norm=norm, **options)
    # Both guard the division by a gradient's length, each with its own tiny number.
    torch.testing.assert_close(found, expected, rtol=0, atol={"linf": 1e-12, "l2": 1e-7}[norm])
    assert (found - pixels).abs().mean() > 0.05
