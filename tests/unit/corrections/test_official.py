"""The published behaviours of the gradient correction (AGC), each by what tells it apart."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agc import AGC, rng
from agc.conformance.correction_problem import Problem, classify, same, through_a_file
from agc.corrections.shared.official import BEHAVIOURS
from agc.methods.static import Static
from tests.support.agc_problems import mean_loss, move, partition, smooth_network
from tests.support.correction_problems import flat, gradient, plain_gradients

PUBLISHED = [name for name in BEHAVIOURS if name != "corrected"]
CODES = [name for name in PUBLISHED if name.startswith("a-")]


def test_a_itop_leaks_the_last_gradient_of_the_epoch_before_into_the_mean() -> None:
    batches, model = partition(), smooth_network()
    leaky, clean = AGC(model, variant="a-itop"), AGC(model)
    last: np.ndarray | float = 0.0
    for _ in range(3):
        for correction in (leaky, clean):
            correction.begin_epoch(batches, mean_loss)
        total = plain_gradients(model, flat(model.parameters()), batches, mean_loss).sum(axis=0)
        close(leaky.mean, (total + last) / len(batches))
        close(clean.mean, total / len(batches))
        for batch in batches:
            last = gradient(model, batch, mean_loss).numpy()  # raw, not corrected
            gradient(model, batch, mean_loss, leaky)
            move(model, 0.1)


def close(found: dict[str, Tensor], expected: np.ndarray) -> None:
    np.testing.assert_allclose(flat(found.values()).numpy(), expected, rtol=0, atol=1e-14)


def test_the_first_snapshot_is_dense_independent_or_masked() -> None:
    model = smooth_network()
    dense = flat(model.parameters())
    made = {variant: AGC(model, variant=variant, seed=5) for variant in BEHAVIOURS}
    Static(model, sparsity=0.6)
    masked = flat(model.parameters())
    assert not torch.equal(dense, masked)
    snapshots: dict[str, Tensor] = {}

    def spying(correction: AGC, name: str) -> Callable:
        observe = correction.correlation.observe

        def spy(now: Tensor, before: Tensor) -> None:
            snapshots.setdefault(name, flat(correction.reference.parameters.values()))
            observe(now, before)

        return spy

    for name, correction in made.items():
        correction.correlation.observe = spying(correction, name)
        correction.begin_epoch(partition(), mean_loss)
        assert torch.equal(flat(correction.reference.parameters.values()), masked)
    assert torch.equal(snapshots["a-itop"], dense)
    assert torch.equal(snapshots["corrected"], masked)
    assert torch.equal(snapshots["a-bsr"], masked)
    assert torch.equal(snapshots["algorithm-1"], masked)
    assert not torch.equal(snapshots["a-rigl"], dense)
    assert not torch.equal(snapshots["a-rigl"], masked)


@pytest.mark.parametrize("variant", ["a-itop", "a-rigl"])
def test_dense_weights_make_up_for_a_network_that_is_masked_already(variant: str) -> None:
    model = smooth_network()
    before = AGC(model, variant=variant, seed=5)
    dense = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    Static(model, sparsity=0.6)
    after = AGC(model, variant=variant, seed=5, dense=dense)
    for name, weight in before.reference.parameters.items():
        assert torch.equal(after.reference.parameters[name], weight)
    assert not torch.equal(dense["0.weight"], model.get_parameter("0.weight"))


def test_the_first_snapshot_of_a_rigl_depends_on_the_seed_alone() -> None:
    model, other = smooth_network(), smooth_network()
    move(other, 1.0)
    stream = torch.get_rng_state()
    snapshots = [
        flat(AGC(m, variant="a-rigl", seed=seed).reference.parameters.values())
        for m, seed in ((model, 1), (other, 1), (model, 2))
    ]
    assert torch.equal(torch.get_rng_state(), stream)
    assert torch.equal(snapshots[0], snapshots[1])
    assert not torch.equal(snapshots[0], snapshots[2])
    weight = snapshots[0][:48]  # of a linear layer with six inputs: uniform within 1 / √6
    assert 0.3 < weight.abs().max().item() <= 6**-0.5


@pytest.mark.parametrize("variant", BEHAVIOURS)
def test_running_statistics_advance_twice_in_published_codes(variant: str) -> None:
    problem = Problem("agc", variant=variant)
    norm, twin = problem.model[1], Problem("none").model
    twin.load_state_dict(problem.model.state_dict())
    for epoch in (1, 2):
        for batch in problem.batches:  # a plain pass at the weights of the epoch's start
            with rng.isolated(1):
                twin(batch.images)
        problem.begin()
        passes = 2 if variant in CODES else 1
        seen = 4 * ((epoch - 1) * passes + passes - 1)
        assert norm.num_batches_tracked.item() == seen
        if epoch == 1 and variant in CODES:
            torch.testing.assert_close(norm.running_mean, twin[1].running_mean)
        for batch in problem.batches:
            problem.step(batch)
        assert norm.num_batches_tracked.item() == 4 * epoch * passes


def test_tau_of_a_bsr_is_one_but_for_the_forgetting() -> None:
    batches, model = partition(), smooth_network()
    correction = AGC(model, variant="a-bsr", gamma=0.5, tau0=0.9)  # it has no first τ
    for epoch in range(6):
        correction.begin_epoch(batches, mean_loss)
        assert correction.tau == pytest.approx(1 - 0.7**epoch, abs=1e-15)
        assert correction.coefficient == 0.5 * correction.tau
        move(model, 0.5)


def test_algorithm_1_estimates_1_in_every_epoch_but_the_first() -> None:
    batches, model = partition(), smooth_network()
    correction = AGC(model, variant="algorithm-1", gamma=0.5, alpha=0.4, tau0=0.9)
    for epoch in range(6):
        correction.begin_epoch(batches, mean_loss)
        if epoch == 0:
            assert correction.tau == 0.0
        # Cov(l, l) / Var(l), in double precision
        assert correction.tau == pytest.approx(1 - 0.6**epoch, abs=1e-13)
        assert correction.coefficient == 0.5 * correction.tau
        move(model, 0.5)


def test_algorithm_1_adds_what_is_printed() -> None:
    batches, model = partition(), smooth_network()
    correction = AGC(model, variant="algorithm-1", gamma=0.5)
    for epoch in range(4):
        snapshot = flat(model.parameters()).clone()
        correction.begin_epoch(batches, mean_loss)
        older = plain_gradients(model, snapshot, batches, mean_loss)
        move(model, 0.3)
        coefficient = 0.5 * (1 - 0.7**epoch)
        for place, batch in enumerate(batches):
            raw = gradient(model, batch, mean_loss).numpy()
            found = gradient(model, batch, mean_loss, correction).numpy()
            expected = raw - coefficient * older[place] + coefficient * older.mean(axis=0)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
            if epoch == 0:
                np.testing.assert_array_equal(found, raw)


def test_the_first_epoch_of_algorithm_1_is_plain() -> None:
    problems = Problem("none"), Problem("agc", variant="algorithm-1", gamma=1.0)
    for epoch in (1, 2):
        for problem in problems:
            torch.manual_seed(9)
            problem.epoch()
        assert same(*(problem.result() for problem in problems)) is (epoch == 1)


def test_algorithm_1_has_no_other_estimator_than_that_of_losses() -> None:
    for estimator in ("gradient", "layer", "online"):
        with pytest.raises(
            ValueError, match=rf"'algorithm-1'.* no estimator '{estimator}'.*'loss'"
        ):
            AGC(smooth_network(), variant="algorithm-1", estimator=estimator)
        assert AGC(smooth_network(), variant="a-bsr", estimator=estimator).tau in (0.0, 1.0)


@pytest.mark.parametrize("variant", PUBLISHED)
@pytest.mark.parametrize("epochs", [0, 1])
def test_a_published_behaviour_can_be_loaded_in_any_order(variant: str, epochs: int) -> None:
    whole = Problem("agc", variant=variant)
    for _ in range(epochs):
        whole.epoch()
    parts = ("model", "optimizer", "sparse", "correction")
    states = {part: through_a_file(getattr(whole, part).state_dict()) for part in parts}
    others = [
        Problem("agc", loaded=copy.deepcopy(states), sparse_first=first, variant=variant)
        for first in (False, True)
    ]
    for problem in (whole, *others):
        torch.manual_seed(9)
        problem.epoch()
        assert same(whole.result(), problem.result())
        assert whole.correction.diagnostics() == problem.correction.diagnostics()


@pytest.mark.parametrize("variant", PUBLISHED)
@pytest.mark.parametrize("within", [0, 2, 4])
def test_a_published_behaviour_goes_on_after_a_file(variant: str, within: int) -> None:
    whole, other = Problem("agc", variant=variant), Problem("agc", variant=variant)
    if within:
        whole.epoch()
        whole.begin()
        for batch in whole.batches[:within]:
            whole.step(batch)
    other.model.load_state_dict(whole.model.state_dict())
    for attribute in ("optimizer", "sparse", "correction"):
        state = through_a_file(getattr(whole, attribute).state_dict())
        getattr(other, attribute).load_state_dict(state)
    for problem in (whole, other):
        torch.manual_seed(9)
        for batch in problem.batches[within:] if within else []:
            problem.step(batch)
        problem.epoch()
    assert same(whole.result(), other.result())
    assert whole.correction.diagnostics() == other.correction.diagnostics()


@pytest.mark.parametrize("variant", PUBLISHED)
def test_nothing_but_buffers_is_touched_beyond_what_the_default_touches(variant: str) -> None:
    problem = Problem("agc", variant=variant)
    torch.manual_seed(3)
    problem.epoch()

    def rest(model: nn.Module) -> list[Tensor]:
        modes = torch.tensor([module.training for module in model.modules()])
        return [flat(model.parameters()), modes, torch.get_rng_state()]

    before, buffers = rest(problem.model), [b.clone() for b in problem.model.buffers()]
    problem.begin()
    assert same(rest(problem.model), before)
    assert same(list(problem.model.buffers()), buffers) is (variant not in CODES)
    problem.optimizer.zero_grad()
    classify(problem.model, problem.batches[0]).backward()
    before, buffers = rest(problem.model), [b.clone() for b in problem.model.buffers()]
    problem.correction.correct(problem.batches[0], classify)
    assert same(rest(problem.model), before)
    assert same(list(problem.model.buffers()), buffers)
