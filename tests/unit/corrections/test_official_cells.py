"""The published behaviours of the gradient correction (AGC) within the suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from agc import AGC
from agc.conformance import correction_cells
from agc.conformance import corrections as checks
from agc.conformance.correction_cells import STEPS, result, tiny, trained
from agc.conformance.correction_problem import same
from agc.corrections.shared.official import BEHAVIOURS
from agc.errors import UserError
from agc.registry import CORRECTIONS, OBJECTIVES
from agc.training.build import build
from agc.training.loop import DataPass, train
from agc.training.run import Run
from tests.support.correction_problems import flat

PUBLISHED = [name for name in BEHAVIOURS if name != "corrected"]


def agc(variant: str, **options: Any) -> dict[str, Any]:
    return {"variant": variant, **options}


@pytest.mark.parametrize("variant", ["a-itop", "a-bsr"])
def test_switched_off_a_published_code_still_changes_running_statistics(variant: str) -> None:
    plain, expected = trained(tiny("none"))
    run, found = trained(tiny("agc", agc(variant, gamma=0.0)))
    differ = {
        key
        for key, tensor in plain.model.state_dict().items()
        if not torch.equal(tensor, run.model.state_dict()[key])
    }
    names = {name for name, _ in plain.model.named_buffers()}
    moving = {n for n in names if n.endswith(("running_mean", "running_var", "tracked"))}
    assert differ == moving
    count = len(plain.model.state_dict())
    assert same(found[count:], expected[count:])  # masks, momentum, losses


@pytest.mark.parametrize("objective", OBJECTIVES.names())
def test_a_bsr_sees_clean_images_in_its_pass_under_every_objective(
    tiny_cell: Callable, objective: str
) -> None:
    correction = {"name": "agc", "options": agc("a-bsr")}
    run = build(tiny_cell(objective=objective, correction=correction, training={"epochs": 1}))
    for _, losses in train(run):
        assert torch.isfinite(losses).all()
    assert all(batch.clean is batch.images for batch in DataPass(run, 1, "raw"))


def test_a_rigl_makes_no_optimizer_step_where_the_topology_is_updated() -> None:
    run = build(tiny("agc", agc("a-rigl")))
    update, states = run.method.advance, []
    moved, updated = [], []

    def before(*_: Any) -> None:
        states.append([flat(run.model.parameters()), *momentum(run)])

    def after(*_: Any) -> None:
        now = [flat(run.model.parameters()), *momentum(run)]
        moved.append(len(now) != len(states[-1]) or not same(now, states[-1]))

    def watched_update() -> bool:
        updated.append(update())
        return updated[-1]

    run.optimizer.register_step_pre_hook(before)
    run.optimizer.register_step_post_hook(after)
    run.method.advance = watched_update
    for _ in train(run):
        pass
    assert updated == [False, True, False, True, False, False, False, False]
    assert moved == [not u for u in updated]
    # A step that is not made needs no second gradient: 3 units a batch are saved.
    assert run.meter.units(run.loader.images_per_epoch) == 20 - 3 * sum(updated) / STEPS


def momentum(run: Run) -> list[Tensor]:
    return [s["momentum_buffer"].clone() for s in run.optimizer.state.values()]


@pytest.mark.parametrize(
    ("options", "attacked", "augmented"),
    [
        (agc("corrected"), True, True),
        (agc("corrected", match_objective=False), False, True),
        (agc("a-itop"), True, True),
        (agc("a-bsr"), False, False),
        (agc("algorithm-1"), True, True),
    ],
    ids=["corrected", "corrected, clean pass", "a-itop", "a-bsr", "algorithm-1"],
)
def test_images_of_the_snapshot_pass(
    options: dict[str, Any], attacked: bool, augmented: bool
) -> None:
    objective = {"name": "pgd-at", "options": {"steps": 2}}
    run = build(tiny("agc", options, objective=objective))
    begin, seen = run.correction.begin_epoch, []

    def spy(batches: Any, loss_fn: Any) -> None:
        seen.extend(batches)
        begin(batches, loss_fn)

    run.correction.begin_epoch = spy
    next(train(run))
    assert len(seen) == STEPS
    for batch in seen:
        assert (batch.clean is not batch.images) is attacked
        clean = batch.clean if attacked else batch.images
        stored = {image.numpy().tobytes() for image in run.loader.split.images}
        pixels = (clean * 255).round().to(torch.uint8)
        kept = [image.numpy().tobytes() in stored for image in pixels]
        assert all(kept) is not augmented
        assert torch.equal(pixels.float() / 255, clean)  # whole pixels: no attack has been here
        if attacked:
            assert not torch.equal(batch.images, clean)


def test_a_bsr_under_attack_has_its_tau_and_its_cost() -> None:
    cell = tiny(
        "agc",
        agc("a-bsr"),
        objective={"name": "pgd-at", "options": {"steps": 2}},
        training={"epochs": 3},
    )
    run = build(cell)
    taus = [run.correction.tau for _ in train(run)]
    assert taus == pytest.approx([0.0, 0.3, 0.51], abs=1e-15)
    assert run.meter.units(run.loader.images_per_epoch) == 3 * 16


@pytest.mark.parametrize("objective", ["standard", "pgd-at"])
def test_the_first_epoch_of_algorithm_1_has_the_bits_of_a_plain_one(objective: str) -> None:
    cells = [
        tiny(name, options, objective={"name": objective, "options": {}}, training={"epochs": 3})
        for name, options in (("none", {}), ("agc", agc("algorithm-1")))
    ]
    runs = [build(cell) for cell in cells]
    taus = []
    for (epoch, plain), (_, losses) in zip(*map(train, runs), strict=True):
        taus.append(runs[1].correction.tau)
        alike = same([*result(runs[0]), plain], [*result(runs[1]), losses])
        assert alike is (epoch == 1), f"epoch {epoch}"
    assert taus == pytest.approx([0.0, 0.3, 0.51], abs=1e-13)


def test_algorithm_1_is_refused_with_another_estimator_before_anything_runs() -> None:
    with pytest.raises(UserError, match="no estimator 'online'"):
        tiny("agc", agc("algorithm-1", estimator="online"))


@pytest.mark.parametrize("variant", PUBLISHED)
def test_a_published_behaviour_trains_with_every_method(variant: str) -> None:
    for method in ("dense", "static", "rigl"):
        run, _ = trained(tiny("agc", agc(variant), method=method))
        weights = zip(run.method.parameters.values(), run.method.masks.values(), strict=True)
        assert not any(weight[~mask].any() for weight, mask in weights)
        assert all(torch.isfinite(tensor).all() for tensor in result(run))


@pytest.fixture
def algorithm_1(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within it ``agc`` is Algorithm 1 wherever the checks of corrections train it."""
    monkeypatch.setitem(correction_cells.OPTIONS, "agc", agc("algorithm-1"))
    monkeypatch.setattr(AGC, "off", agc("algorithm-1", gamma=0.0))
    for trained_once in (correction_cells.counted, correction_cells.run_with):
        trained_once.cache_clear()
    yield
    for trained_once in (correction_cells.counted, correction_cells.run_with):
        trained_once.cache_clear()


OF_CELLS = (
    checks.switched_off_a_run_of_the_suite_has_the_bits_of_a_plain_one,
    checks.switched_off_a_loop_of_ones_own_has_the_bits_of_a_plain_one,
    checks.switched_on_it_changes_the_weights,
    checks.global_streams_do_not_move_and_what_is_pruned_is_zero_after_each_step,
    checks.a_run_resumed_from_its_checkpoint_goes_on_with_the_same_bits,
    checks.counted_units_are_the_declared_ones,
    checks.it_trains_with_every_method_and_precision,
)
"""The checks of corrections that take their options from where the fixture puts them."""


@pytest.mark.usefixtures("algorithm_1")
@pytest.mark.parametrize("check", OF_CELLS, ids=lambda check: check.__name__)
def test_algorithm_1_keeps_what_every_correction_keeps(check: Callable[[str], None]) -> None:
    check("agc")


def test_every_behaviour_is_an_option_and_is_named_in_the_docstring() -> None:
    for variant in BEHAVIOURS:
        assert CORRECTIONS.resolve("agc", {"variant": variant})["variant"] == variant
        assert variant in AGC.__doc__
