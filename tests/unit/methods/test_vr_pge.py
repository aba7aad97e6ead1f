from __future__ import annotations

from itertools import chain

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from agc.conformance.method_problem import STEPS, Problem, loss_fn
from agc.cost.meter import Meter
from agc.methods.vr_pge import VRPGE
from agc.sparsity.bernoulli import policy_gradient, project
from agc.sparsity.channels import channel_masks
from agc.sparsity.distributions import InfeasibleSparsityError
from agc.sparsity.small import remove_channels


def test_a_step_takes_the_mean_gradient_of_both_samples() -> None:
    """Against autograd through weights that are multiplied with the masks."""
    problem = Problem("vr-pge")
    method, batch = problem.method, problem.batches[0]
    weights = {
        name: (p + method.hidden[name] if name in method.hidden else p).detach().clone()
        for name, p in problem.model.named_parameters()
    }
    with method.updating():
        with method.shown(batch, loss_fn):
            loss = loss_fn(problem.model, batch)
            loss.backward()
            method.observe(loss.detach())
        losses = method.losses
        for name, parameter in problem.model.named_parameters():
            assert torch.equal(parameter, weights[name])
    assert not torch.equal(*method.samples)
    expected = {name: torch.zeros_like(w) for name, w in weights.items()}
    for sample, found in zip(method.samples, losses, strict=True):
        leaves = {name: w.clone().requires_grad_() for name, w in weights.items()}
        channels, budget = method.budget.channels, method.budget
        masks = channel_masks(problem.model, channels, budget.split(sample))
        parts = {name: leaf * masks.get(name, 1) for name, leaf in leaves.items()}
        state = {name: b.clone() for name, b in problem.model.named_buffers()}
        outputs = functional_call(problem.model, parts | state, (batch[0],))
        own = nn.functional.cross_entropy(outputs, batch[1])
        torch.testing.assert_close(own.detach(), found)
        own.backward()
        for name, leaf in leaves.items():
            expected[name] += leaf.grad / 2
    for name, parameter in problem.model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name])


def test_the_probabilities_take_an_adam_step_and_are_projected() -> None:
    problem = Problem("vr-pge", score_lr=0.01, clip=1e9)
    method = problem.method
    before = method.probabilities.clone()
    assert before.unique().numel() == 1
    next(problem.steps())
    losses = method.losses.double()
    gradient = policy_gradient(before, method.samples, losses, "sqrt")
    # Adam's first step is lr g / (|g| + 1e-8).
    stepped = before - 0.01 * gradient / (gradient.abs() + 1e-8)
    budget = before.sum().item()
    torch.testing.assert_close(method.probabilities, project(stepped, budget))
    lower = method.samples[losses.argmin()] & ~method.samples[losses.argmax()]
    higher = method.samples[losses.argmax()] & ~method.samples[losses.argmin()]
    assert method.probabilities[lower].min() > method.probabilities[higher].max()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_subnet_is_of_the_most_probable_channels_with_the_exact_number_of_weights(
    optimizer: str,
) -> None:
    problem = Problem("vr-pge", optimizer, score_lr=0.1)
    method, model = problem.method, problem.model
    total = sum(p.numel() for p in method.parameters.values())
    seen = set()
    for _ in chain([False], problem.steps()):
        assert sum(method.active().values()) == round(0.2 * total)
        assert method.probabilities.sum() <= method.share * 18 + 1e-9
        alive = [model[1].weight != 0, model[4].weight != 0]
        seen.add(tuple(int(a.sum()) for a in alive))
        for norm, some, chances in zip(
            (model[1], model[4]), alive, method.probabilities.split([10, 8]), strict=True
        ):
            assert (norm.bias[~some] == 0).all()
            assert chances[some].min() >= chances[~some].max()
        first, second, last = method.masks.values()
        images = alive[1].repeat_interleave(4)
        whole = [
            alive[0][:, None, None, None].expand_as(first),
            (alive[1][:, None] & alive[0])[:, :, None, None].expand_as(second),
            images.expand_as(last),
        ]
        # No weight of a dropped channel is active; those of kept ones are, but of one in part.
        missing = 0
        for mask, full in zip((first, second, last), whole, strict=True):
            assert not (mask & ~full).any()
            missing += int((full & ~mask).sum())
        assert missing < 9 * 10 + 4 * 7
    assert len(seen) > 1, "the share of the layers was not learnt"


def test_the_subnet_is_fixed_at_the_end_and_what_is_dropped_is_gone() -> None:
    problem = Problem("vr-pge", finetune=0.5, score_lr=0.1)
    method = problem.method
    problem.begin()
    changes = []
    for step, changed in enumerate(problem.steps(), start=1):
        changes.append(changed)
        if step == STEPS // 2:
            masks = {name: mask.clone() for name, mask in method.touched()[1].items()}
        if step >= STEPS // 2:
            for name, mask in method.touched()[1].items():
                assert torch.equal(mask, masks[name])
                parameter = problem.model.get_parameter(name)
                buffer = problem.optimizer.state[parameter]["momentum_buffer"]
                assert (parameter[~mask] == 0).all()
                assert (buffer[~mask] == 0).all()
    assert any(changes[: STEPS // 2])
    assert not any(changes[STEPS // 2 :])


def test_a_harmful_channel_is_learnt_away() -> None:
    """Four inputs pass through four channels; the target is the sum of the first two."""
    with torch.random.fork_rng(devices=[]):
        model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU(), nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(4))
        model[2].weight.fill_(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    options = {"sparsity": 0.5, "total_steps": 400, "finetune": 0, "preconditioner": "none"}
    method = VRPGE(model, optimizer, seed=1, **options)
    generator = torch.Generator().manual_seed(0)

    def squares(network: nn.Module, inputs: Tensor) -> Tensor:
        return (network(inputs)[:, 0] - inputs[:, 0] - inputs[:, 1]).square().mean()

    for _ in range(400):
        inputs = torch.rand(16, 4, generator=generator)
        with method.updating():
            with method.shown(inputs, squares):
                loss = squares(model, inputs)
                loss.backward()
                method.observe(loss.detach())
            optimizer.step()
    assert method.probabilities.tolist() == pytest.approx([1, 1, 0, 0], abs=0.05)
    assert method.masks["2.weight"].tolist() == [[True, True, False, False]]
    assert squares(model, torch.rand(16, 4, generator=generator)) < 1e-10


def test_the_finished_network_gets_smaller_and_computes_the_same() -> None:
    problem = Problem("vr-pge", score_lr=0.1)
    problem.whole()
    model = problem.model.eval()
    smaller = remove_channels(model, problem.method.masks).network
    images = problem.batches[0][0]
    torch.testing.assert_close(smaller(images), model(images), rtol=1e-5, atol=1e-5)
    left = sum(p.numel() for p in smaller.parameters())
    assert left < 0.4 * sum(p.numel() for p in model.parameters())


def test_the_second_sample_is_counted_and_declared() -> None:
    problem = Problem("vr-pge", finetune=0.25)
    meter = Meter()
    meter.watch(problem.model)
    for _ in problem.steps():
        pass
    assert meter.units(16 * STEPS) == 3 + VRPGE.step_units(finetune=0.25)


def test_what_cannot_be_learnt_is_refused() -> None:
    problem = Problem("vr-pge")
    with pytest.raises(
        InfeasibleSparsityError, match=r"55 of 1124 weights are left, sparsity 0\.9511"
    ):
        Problem("vr-pge", sparsity=0.99)
    with pytest.raises(ValueError, match="no channels that can be removed"):
        VRPGE(nn.Linear(4, 4), None, sparsity=0.5, total_steps=9)
    method, batch = problem.method, problem.batches[0]
    with (
        pytest.raises(ValueError, match="call observe"),
        method.updating(),
        method.shown(batch, loss_fn),
    ):
        method.observe()
