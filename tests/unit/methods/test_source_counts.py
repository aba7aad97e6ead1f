"""How many weights each source drops and grows, and which: on a layer that is nearly dense, and on
one that is nearly empty.

Each rule is written down a second time, in lists and Python's own sorting, as the source has it. So
a bound of our own shows that the source does not have: of a layer of which 92 of 100 weights are
active, RigL and its kin drop a share of the 92, many more than there are vacant places.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from agc import rng
from agc.methods.base import SparseMethod
from agc.registry import METHODS
from tests.support.method_examples import step

SIZE, TOTAL = 100, 1000
ACTIVE = [92, 3, 2, 1]

Places = set[int]


def layer(name: str, active: int, **options: object) -> SparseMethod:
    """A method on 10 x 10 weights of which so many are active; each step ends with an update.

    Nothing but the method moves the weights: the learning rate is 0.
    """
    with rng.isolated(active):
        model = nn.Linear(10, 10, bias=False).double()
    known = METHODS.options(name).model_fields
    often = {"update_interval": 1, "late_interval": 1, "end_fraction": 1.0}
    options = {key: value for key, value in often.items() if key in known} | options
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    sparsity = 1 - active / SIZE
    return METHODS.create(
        name, model, optimizer, options=options, sparsity=sparsity, total_steps=TOTAL, seed=1
    )


def gradient() -> Tensor:
    """No two values of one magnitude."""
    return torch.randn(10, 10, generator=rng.generator(2, "gradient"), dtype=torch.float64)


def places(mask: Tensor) -> Places:
    return set(mask.flatten().nonzero().flatten().tolist())


def best(scores: Tensor, among: Iterable[int], count: int) -> Places:
    """The places of the ``count`` highest scores."""
    flat = scores.detach().flatten().tolist()
    return set(sorted(sorted(among), key=lambda place: -flat[place])[:count])


def replaced(mask: Tensor, weight: Tensor, grow_by: Tensor, drop: int, grow: int) -> Places:
    """The smallest weights go; the best of all that are not kept come, those just gone too."""
    kept = best(weight.abs(), places(mask), int(mask.sum()) - drop)
    return kept | best(grow_by, set(range(SIZE)) - kept, grow)


def cosine(start: float, end: float = 0.0) -> float:
    """Of the first of all steps."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi / TOTAL))


def dst_ee(method: SparseMethod, mask: Tensor, slope: Tensor) -> Tensor:
    """|g| + c ln t / (N + 1), a while into the training."""
    return slope.abs() + 1e-3 * math.log(method.steps) / (mask.double() + 1)


ROUNDED = {
    # RigL's code rounds the share down, and ITOP's and its descendants' up.
    **dict.fromkeys(["set", "rigl", "rigl+swa", "cigl", "dst-ee"], (0.3, 0.0, math.floor)),
    **dict.fromkeys(["set-itop", "rigl-itop", "flying-bird"], (0.5, 0.005, math.ceil)),
    "granet": (0.5, 0.0, math.floor),  # a departure that its docstring names
}


@pytest.mark.parametrize("active", ACTIVE)
@pytest.mark.parametrize("name", ROUNDED)
def test_a_share_of_the_active_weights_goes_and_as_many_come(name: str, active: int) -> None:
    start, end, rounded = ROUNDED[name]
    # What does not belong to the update: GraNet's pruning starts where it ends.
    aside = {"granet": {"initial_sparsity": 1 - active / SIZE}}
    aside |= {key: {"average_from": 1.0} for key in ("rigl+swa", "cigl")}
    method = layer(name, active, **aside.get(name, {}))
    mask, slope = method.masks["weight"].clone(), gradient()
    weight = method.model.weight.detach().clone()
    assert step(method, slope)
    by = slope.abs()
    if name in ("set", "set-itop", "flying-bird"):
        by = method.random_scores("weight")
    elif name == "dst-ee":
        by = dst_ee(method, mask, slope)
    count = rounded(cosine(start, end) * active)
    assert places(method.masks["weight"]) == replaced(mask, weight, by, count, count)
    if active == 92:
        assert count > SIZE - active


@pytest.mark.parametrize("active", ACTIVE)
def test_granet_prunes_the_smallest_and_then_replaces(active: int) -> None:
    method = layer("granet", active, initial_sparsity=0.0, prune_end_fraction=2 / TOTAL)
    weight, slope = method.model.weight.detach().clone(), gradient()
    assert step(method, slope)
    # Half of the way of the cubic schedule: 1 - (1 - 1 / 2)³ of what is to be pruned is gone.
    left = SIZE - round((1 - 0.5**3) * (SIZE - active))
    pruned = torch.zeros(10, 10, dtype=torch.bool)
    pruned.view(-1)[list(best(weight.abs(), range(SIZE), left))] = True
    count = math.floor(cosine(0.5) * left)
    assert places(method.masks["weight"]) == replaced(pruned, weight, slope.abs(), count, count)


@pytest.mark.parametrize("active", ACTIVE)
def test_elastic_mutation_drops_a_fifth_by_its_score(active: int) -> None:
    method = layer("mest", active, end_fraction=0.75)
    mask, slope = method.masks["weight"].clone(), gradient()
    weight = method.model.weight.detach().clone()
    step(method, slope)
    count = int(0.2 * active)
    scores, draws = weight.abs() + 0.01 * slope.abs(), method.random_scores("weight")
    assert places(method.masks["weight"]) == replaced(mask, scores, draws, count, count)


@pytest.mark.parametrize(("active", "more"), [(92, 8), (60, 30), (3, 1), (2, 1), (1, 0)])
def test_the_soft_bound_holds_half_as_many_more_within_the_layer(active: int, more: int) -> None:
    method = layer("mest", active, mode="em&s", end_fraction=0.75)
    mask, slope = method.masks["weight"].clone(), gradient()
    assert int(mask.sum()) == active + more
    weight = method.model.weight.detach().clone()
    step(method, slope)
    scores, draws = weight.abs() + 0.01 * slope.abs(), method.random_scores("weight")
    assert places(method.masks["weight"]) == replaced(mask, scores, draws, more, more)


@pytest.mark.parametrize("active", [*ACTIVE, 5])
@pytest.mark.parametrize("loss", [2.0, 0.5])
def test_flying_bird_plus_drops_more_or_grows_more(active: int, loss: float) -> None:
    method = layer(
        "flying-bird+", active, growth="gradient", start_fraction=0.0, drop_fraction=0.44
    )
    method.counts["weight"] = 1  # the fewest that the layer may come to
    method.history = [1.0]
    mask, slope = method.masks["weight"].clone(), gradient()
    weight = method.model.weight.detach().clone()
    step(method, slope, loss=loss)
    share = cosine(0.44, 0.005)
    drop = grow = math.ceil(share * active)
    if loss > 1.0:
        grow = min(int(1.05 * drop), SIZE - active + drop)
    else:
        drop = min(drop + math.ceil(0.4 * share * active), active)
    assert places(method.masks["weight"]) == replaced(mask, weight, slope.abs(), drop, grow)


def spread(active: dict[str, int], momentum: tuple[float, float]) -> tuple[SparseMethod, list[int]]:
    """Sparse momentum on two layers of 100 weights; what each has after an update."""
    with rng.isolated(3):
        model = nn.Sequential(nn.Linear(10, 10, bias=False), nn.Linear(10, 10, bias=False))
    method = METHODS.create(
        "snfs",
        model.double(),
        torch.optim.SGD(model.parameters(), lr=0.0),
        options={
            "update_interval": 1,
            "distribution": {name: 1 - count / SIZE for name, count in active.items()},
        },
        sparsity=1 - sum(active.values()) / (2 * SIZE),
        total_steps=TOTAL,
    )
    before = [places(mask) for mask in method.masks.values()]
    for parameter, scale in zip(model.parameters(), momentum, strict=True):
        # Active weights have this momentum and vacant places more, so none comes straight back.
        vacant = ~method.masks["0.weight" if parameter is model[0].weight else "1.weight"]
        parameter.grad = scale * torch.where(vacant, 2.0, 1.0).double()
    method.observe()
    method.optimizer.step()
    method.advance()
    after = [places(mask) for mask in method.masks.values()]
    return method, [len(old - new) for old, new in zip(before, after, strict=True)]


def test_sparse_momentum_moves_weights_between_a_full_and_an_empty_layer() -> None:
    # Shares of 3 / 4 and 1 / 4. The nearly dense layer is above the average, so it drops no larger
    # a fraction than its sparsity: ⌈0.08 · 92⌉ = 8, as many as were vacant, and they all fit.
    # ⌈0.5 · 20⌉ = 10 of the other go. Of 18, 13.5 would go to the first, which has room for 16.
    method, dropped = spread({"0": 92, "1": 20}, (3.0, 1.0))
    assert dropped[1] == 10
    assert [*method.active().values()] == [92 - 8 + 14, 20 - 10 + 4]
    # Below the average it drops the whole share: ⌈0.5 · 92⌉ = 46, and gets a quarter of 56.
    method, dropped = spread({"0": 92, "1": 20}, (1.0, 3.0))
    assert [*method.active().values()] == [92 - 46 + 14, 20 - 10 + 42]
    # A layer with one weight keeps it; with two, it drops one.
    method, dropped = spread({"0": 50, "1": 1}, (1.0, 1.0))
    assert dropped[1] == 0
    assert sum(method.active().values()) == 51
    method, dropped = spread({"0": 50, "1": 2}, (1.0, 1.0))
    assert dropped[1] == 1


@pytest.mark.parametrize(("active", "fan_in"), [(90, 9), (30, 3), (10, 1)])
@pytest.mark.parametrize("min_salient", [0.0, 1.0])
def test_constant_fan_in_keeps_the_largest_of_what_is_not_ablated(
    active: int, fan_in: int, min_salient: float
) -> None:
    method = layer("srigl", active, min_salient=min_salient)
    method.last = "none"  # the last layer is spared, and this one is the last
    mask, slope = method.masks["weight"].clone(), gradient().abs()
    weight = method.model.weight.detach().clone()
    weight[8:] *= 1e-3  # two neurons that keep one weight each, and have no gradient to grow by
    for row in (8, 9):
        weight[row, int(mask[row].nonzero()[0])] = 1.0
    slope[8:] *= 1e-3
    method.model.weight.data.copy_(weight)
    step(method, slope)
    drop = int(cosine(0.3) * active)
    kept = best(weight.abs(), places(mask), active - drop)
    salient = kept | best(slope, range(SIZE), drop)
    rows = {row: sum(place // 10 == row for place in salient) for row in range(10)}
    least = max(1, int(min_salient * fan_in)) if min_salient else 0
    alive = [row for row in rows if rows[row] >= least]
    alive = sorted(rows, key=lambda row: -rows[row])[: max(len(alive), math.ceil(active / 10))]
    # The source ablates first, and then drops: so many of what is left are kept.
    kept = best(weight.abs(), {p for p in places(mask) if p // 10 in alive}, active - drop)
    expected: Places = set()
    for position, row in enumerate(alive):
        wanted = active // len(alive) + (position < active % len(alive))
        mine = best(weight.abs(), {place for place in kept if place // 10 == row}, wanted)
        free = set(range(10 * row, 10 * row + 10)) - mine
        expected |= mine | best(slope, free, wanted - len(mine))
    assert places(method.masks["weight"]) == expected
    assert (len(alive) < 10) == (min_salient > 0)


@pytest.mark.parametrize("name", ["deepr", "bsr"])
@pytest.mark.parametrize(("active", "dead"), [(92, 40), (92, 92), (3, 2), (1, 1)])
def test_all_that_cross_zero_die_and_as_many_are_made(name: str, active: int, dead: int) -> None:
    method = layer(name, active, noise=0.0, l1=0.0)
    before, weight = places(method.masks["weight"]), method.model.weight
    gone = set(sorted(before)[:dead])
    with method.updating(), torch.no_grad():
        for place in gone:
            weight.view(-1)[place] *= -1
    after = places(method.masks["weight"])
    made = {place for place in after if weight.detach().flatten()[place].abs() < 2e-12}
    assert before - gone == after - made
    # From all that are not connected, those that have just died among them.
    assert len(made) == dead
    assert len(after) == active


def test_bsr_draws_again_where_a_layer_is_full() -> None:
    with rng.isolated(4):
        model = nn.Sequential(nn.Linear(10, 10, bias=False), nn.Linear(10, 1, bias=False))
    method = METHODS.create(
        "bsr",
        model,
        torch.optim.SGD(model.parameters(), lr=0.0),
        options={"distribution": {"0": 0.02, "1": 0.9}, "noise": 0.0},
        sparsity=1 - 99 / 110,
        total_steps=TOTAL,
    )
    for _ in range(5):
        with method.updating(), torch.no_grad():
            for name, parameter in model.named_parameters():
                first = method.masks[name].flatten().nonzero().flatten()[:8]
                parameter.view(-1)[first] *= -1
        assert sum(method.active().values()) == 99
        assert all(method.active().values())


@pytest.mark.parametrize("active", ACTIVE)
def test_gradual_pruning_keeps_the_largest_of_what_is_left(active: int) -> None:
    method = layer("gmp", active, end_fraction=4 / TOTAL)
    left: Places = set(range(SIZE))
    weight = method.model.weight.detach().clone()
    for number in range(1, 5):
        step(method, gradient())
        share = 1 - (1 - number / 4) ** 3
        left = best(weight.abs(), left, SIZE - round(share * (SIZE - active)))
        assert places(method.masks["weight"]) == left
    assert len(left) == active


@pytest.mark.parametrize("active", ACTIVE)
def test_top_kast_trains_twice_as_many_as_act_within_the_layer(active: int) -> None:
    method = layer("top-kast", active)
    step(method, gradient())
    weight = method.all_of("weight")
    assert places(method.masks["weight"]) == best(weight.abs(), range(SIZE), active)
    behind = best(weight.abs(), range(SIZE), min(2 * active, SIZE))
    assert places(method.backward["weight"]) == behind
