from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call

from agc.conformance.method_problem import OPTIMIZERS, STEPS, Problem, loss_fn, same
from agc.registry import METHODS


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_without_random_mask_and_average_both_are_rigl_to_the_bit(optimizer: str) -> None:
    plain = Problem("rigl", optimizer)
    control = Problem("rigl+swa", optimizer, average_from=1.0)
    cigl = Problem("cigl", optimizer, average_from=1.0, drop_rate=0.0)
    for problem in (plain, control, cigl):
        problem.whole()
    assert same(plain.state(), control.state())
    assert same(plain.state(), cigl.state())


@pytest.mark.parametrize("name", ["rigl+swa", "cigl"])
def test_the_finished_weights_are_the_mean_of_the_snapshots_inside_the_mask(name: str) -> None:
    options = {} if name == "rigl+swa" else {"drop_rate": 0.3}
    problem = Problem(name, average_interval=1, **options)
    problem.begin()
    snapshots = []
    for number, _ in enumerate(problem.steps(), start=1):
        if number >= 0.8 * STEPS:
            factors = getattr(problem.method, "factors", {})
            snapshots.append(
                {n: p.detach() * factors.get(n, 1) for n, p in problem.model.named_parameters()}
            )
    problem.end()
    assert len(snapshots) == 3
    for layer, parameter in problem.model.named_parameters():
        mean = torch.stack([snapshot[layer] for snapshot in snapshots]).mean(0)
        torch.testing.assert_close(parameter.detach(), mean)
        if layer in problem.method.masks:
            assert (parameter[~problem.method.masks[layer]] == 0).all()
    assert problem.method.sparsity() == pytest.approx(0.8, abs=1e-3)


def test_averaging_leaves_the_training_as_it_is() -> None:
    plain, control = Problem("rigl"), Problem("rigl+swa", average_interval=1)
    for problem in (plain, control):
        problem.begin()
        assert len(list(problem.steps())) == STEPS
    assert same(plain.state(), control.state())


def test_batch_normalisation_gets_the_statistics_of_the_averaged_weights() -> None:
    problem = Problem("rigl+swa", average_interval=1)
    problem.whole()
    conv, norm = problem.model[0], problem.model[1]
    with torch.no_grad():
        outputs = [conv(images) for images, _ in problem.batches]
    means = torch.stack([out.mean((0, 2, 3)) for out in outputs]).mean(0)
    variances = torch.stack([out.transpose(0, 1).flatten(1).var(1) for out in outputs]).mean(0)
    torch.testing.assert_close(norm.running_mean, means, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, variances, rtol=1e-4, atol=1e-5)
    assert norm.momentum == 0.1
    assert norm.training


def test_an_average_survives_a_stop() -> None:
    whole = Problem("cigl", average_interval=1, drop_rate=0.3)
    whole.whole()
    first = Problem("cigl", average_interval=1, drop_rate=0.3)
    first.begin()
    assert len(list(first.steps(0, 11))) == 11
    second = Problem("cigl", average_interval=1, drop_rate=0.3)
    second.model.load_state_dict(first.model.state_dict())
    second.optimizer.load_state_dict(copy.deepcopy(first.optimizer.state_dict()))
    second.method.load_state_dict(copy.deepcopy(first.method.state_dict()))
    assert len(list(second.steps(11))) == 1
    second.end()
    assert same(whole.state(), second.state())


def test_averages_over_changing_masks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"average_from 0\.8 comes before end_fraction"):
        Problem("rigl+swa", end_fraction=1.0)
    Problem("rigl+swa", end_fraction=1.0, average_from=1.0)


def test_the_length_of_an_epoch_comes_from_the_data_or_is_asked_for() -> None:
    problem = Problem("rigl+swa", average_interval=None)
    problem.method.begin([1, 2, 3], loss_fn)
    assert problem.method.average_interval == 3
    with pytest.raises(ValueError, match="average_interval"):
        list(Problem("rigl+swa", average_interval=None).steps())


def test_the_forward_pass_sees_the_random_mask_and_the_gradient_passes_through_it() -> None:
    problem = Problem("cigl", drop_rate=0.4)
    batch, method, model = problem.batches[0], problem.method, problem.model
    whole = {name: p.detach().clone() for name, p in model.named_parameters()}
    with method.shown(batch, loss_fn):
        for name, mask in method.masks.items():
            factors = method.factors[name]
            assert torch.equal(model.get_parameter(name), whole[name] * factors)
            assert factors[mask].unique().tolist() == pytest.approx([0, 1 / 0.6])
            assert (factors[~mask] == 1).all()
        loss_fn(model, batch).backward()
    leaves = {name: p.clone().requires_grad_() for name, p in whole.items()}
    seen = {name: p * method.factors.get(name, 1) for name, p in leaves.items()}
    functional_loss = nn.functional.cross_entropy(functional_call(model, seen, batch[0]), batch[1])
    gradients = torch.autograd.grad(functional_loss, list(leaves.values()))
    for (name, parameter), gradient in zip(model.named_parameters(), gradients, strict=True):
        assert torch.equal(parameter, whole[name])
        torch.testing.assert_close(parameter.grad, gradient)


def test_the_random_mask_keeps_the_mean() -> None:
    layer = nn.Linear(100, 100, bias=False)
    method = METHODS.create(
        "cigl", layer, None, options={"drop_rate": 0.1}, sparsity=0.8, total_steps=10
    )
    draws = []
    for method.steps in range(50):
        draws.append(method.random_factors("weight")[method.masks["weight"]])
    drawn = torch.cat(draws)
    # 100,000 draws with variance r / (1 - r) = 1/9: a standard error of 0.00105; five of them.
    assert drawn.mean().item() == pytest.approx(1.0, abs=0.0053)
    assert (drawn == 0).double().mean().item() == pytest.approx(0.1, abs=0.005)
    assert not torch.equal(draws[0], draws[1])
