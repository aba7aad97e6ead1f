"""The numbers of hypotheses are those that another computation gives as well."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from agc.grids.cell import Cell
from agc.reports.findings import findings, hypotheses
from agc.reports.hypotheses.base import HYPOTHESES
from agc.reports.hypotheses.shared.contrasts import of_values
from agc.reports.hypotheses.shared.parts import differs
from agc.reports.verdict import NO_FINDING
from tests.support.planted_studies import (
    DOUBLING,
    Made,
    agc,
    nothing,
)
from tests.support.study_records import (
    made_gradients,
    make_study,
    stage_cells,
    with_effect,
)


def accuracies(made: Made, stages: Iterable[str], chosen: Callable[[Cell], bool]) -> pd.Series:
    """Final test accuracies of the cells that are chosen, by method, sparsity and seed."""
    cells = {cell.slug: cell for name in stages for cell in made.stages[f"study-{name}"]}
    values = made.study.records.set_index("slug")["final_test_accuracy"]
    own = {
        (cell.method.name, cell.sparsity, cell.seed): values[slug]
        for slug, cell in cells.items()
        if chosen(cell)
    }
    return pd.Series(own)


def pooled_by_hand(differences: pd.Series) -> tuple[float, float, float]:
    """Mean of the rows' means and its 95 % interval, with Satterthwaite's degrees of freedom."""
    rows = differences.groupby(level=[0, 1]).agg(["mean", "var", "count"])
    terms = rows["var"] / rows["count"] / len(rows) ** 2
    df = terms.sum() ** 2 / (terms**2 / (rows["count"] - 1)).sum()
    mean = rows["mean"].mean()
    low, high = stats.t.interval(0.95, df, mean, np.sqrt(terms.sum()))
    return mean, low, high


def is_usual(cell: Cell, correction: str) -> bool:
    own = cell.correction
    plain = own.options.get("gamma", 0.1) == 0.1 and own.options.get("c", 0.1) == 0.1
    training = cell.training
    usual = (training.epochs, training.batch_size, training.fixed_batches) == (20, 128, False)
    return own.name == correction and plain and usual


CONTROLS = ("core", "controls")
BY_HAND = {
    "H1": (("core",), lambda c: is_usual(c, "none"), lambda c: is_usual(c, "agc")),
    "H3": (
        CONTROLS,
        lambda c: c.training.epochs == 67,
        lambda c: is_usual(c, "agc") and c.method.name == "rigl" and c.sparsity > 0.9,
    ),
    "H4": (
        CONTROLS,
        lambda c: is_usual(c, "constant"),
        lambda c: is_usual(c, "agc") and c.method.name == "rigl" and c.sparsity > 0.9,
    ),
    "H5": (
        CONTROLS,
        lambda c: c.training.batch_size == 157,
        lambda c: is_usual(c, "agc") and c.method.name == "rigl" and c.sparsity > 0.9,
    ),
    "H9": (
        ("published",),
        lambda c: (
            c.correction.name == "none" and (c.method.name, c.sparsity) == ("rigl-itop", 0.98)
        ),
        lambda c: c.correction.options.get("gamma") == 0.0,
    ),
}


@pytest.mark.parametrize("key", BY_HAND)
def test_a_pooled_estimate_is_that_of_another_computation(key: str, made: Made) -> None:
    stages, base, other = BY_HAND[key]
    differences = accuracies(made, stages, other) - accuracies(made, stages, base)
    assert differences.notna().all()
    part = made.finding(key).parts[0]
    assert part.pairs == len(differences)
    expected = pooled_by_hand(differences)
    np.testing.assert_allclose((part.value, *part.bounds[:2]), expected, rtol=1e-9, atol=1e-12)


def test_arms_that_give_the_same_in_every_pair_differ_by_nothing() -> None:
    same, almost = np.zeros(5), np.array([0.0, 0.0, 0.0, 0.0, 1e-4])
    (part,) = of_values("the same", [same, same], differs(0.003))
    assert (tuple(part.bounds), part.fails) == ((0.0, 0.0, 0.0, 0.0), True)
    (part,) = of_values("almost", [same, almost], differs(0.003))
    assert part.bounds.low < 0.0 < part.bounds.high
    (part,) = of_values("one pair", [np.zeros(1)], differs(0.003))
    assert np.isnan(part.bounds).all(), "one pair tells no spread"
    (part,) = of_values("shifted", [np.full(5, 1e-3)], differs(0.003))
    assert np.isnan(part.bounds).all(), "a difference without spread is no measurement of zero"


def test_a_difference_of_differences_is_one_number_a_seed(made: Made) -> None:
    def effect(stage: str, chosen: Callable[[Cell], bool], name: str, gamma: float) -> pd.Series:
        one = accuracies(made, [stage], lambda c: chosen(c) and c.correction.name == "none")
        own = accuracies(
            made, [stage], lambda c: chosen(c) and c.correction.options.get("gamma") == gamma
        )
        return (own - one).groupby(level=2).mean()

    def rigl_at(sparsity: float) -> Callable[[Cell], bool]:
        return lambda cell: (cell.method.name, cell.sparsity) == ("rigl", sparsity)

    def batch(size: int) -> Callable[[Cell], bool]:
        return lambda cell: cell.training.batch_size == size

    zeros = [effect("core", rigl_at(sparsity), "agc", 0.1) for sparsity in (0.9, 0.98)]
    sizes = [effect("noise", batch(size), "agc", 1.0) for size in (32, 512)]
    for key, values in {"H7": zeros[1] - zeros[0], "H6": (sizes[1] - sizes[0]) / 2}.items():
        part = made.finding(key).parts[0]
        low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        np.testing.assert_allclose((part.value, *part.bounds[:2]), (values.mean(), low, high))
        assert part.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_the_ratio_of_epochs_is_that_of_two_known_lines() -> None:
    stages = stage_cells(("core", "ladder"))
    truth = with_effect(agc(DOUBLING * np.log2(1 / 0.7)))
    study = make_study(truth, stages, sd=1e-5)
    epochs, units = Made(study, stages).finding("H2").parts
    assert epochs.value == pytest.approx(0.7, rel=1e-3)
    assert units.value == pytest.approx(0.7 * 10 / 3, rel=1e-3)
    assert (epochs.deciding, units.deciding) == (True, False)


def test_the_ratio_of_variances_is_a_geometric_mean_over_runs(made: Made) -> None:
    planted = made.planted(nothing, 0.9)
    part = planted.finding("H5").parts[0]
    logs = np.log(planted.study.gradients["ratio_used"])
    cells = logs.groupby(planted.study.gradients["slug"]).mean()
    ends = stats.t.interval(0.95, len(cells) - 1, cells.mean(), stats.sem(cells))
    expected = np.exp([cells.mean(), *ends])
    np.testing.assert_allclose((part.value, *part.bounds[:2]), expected)


def test_a_ratio_of_variances_that_tells_nothing_says_what_it_could_have_found(made: Made) -> None:
    gradients = made_gradients(made.study, 1.0, sd=0.3)
    part = replace(made, study=made.study._replace(gradients=gradients)).finding("H5").parts[0]
    assert part.verdict.word == NO_FINDING
    assert 0 < part.detectable < 1
    assert "smallest detectable effect -" in part.sentence


def test_holm_is_over_the_confirmatory_hypotheses_that_were_run(made: Made) -> None:
    found = findings(made.planted(agc(0.0003)).study)
    raw = {
        one.hypothesis.key: one.parts[0].p
        for one in found
        if one.hypothesis.confirmatory and one.parts
    }
    assert set(raw) == {"H1", "H2", "H3"}
    running, expected = 0.0, {}
    for place, (key, p) in enumerate(sorted(raw.items(), key=lambda item: item[1])):
        running = max(running, min(1.0, p * (len(raw) - place)))
        expected[key] = running
    adjusted = {one.hypothesis.key: one.p_holm for one in found if not np.isnan(one.p_holm)}
    assert adjusted == pytest.approx(expected)


def test_two_runs_of_one_seed_in_an_arm_are_refused(made: Made) -> None:
    records = made.study.records
    for key, stage in (("H1", "study-core"), ("H7", "study-core"), ("H6", "study-noise")):
        own = records["slug"].isin(made.study.stages[stage]) & (records["correction"] != "none")
        twins = records[own].assign(slug="twin")
        stages = dict(made.study.stages) | {stage: made.study.stages[stage] | {"twin"}}
        study = made.study._replace(records=pd.concat([records, twins]), stages=stages)
        with pytest.raises(ValueError, match="two runs of one seed"):
            HYPOTHESES[key].target().parts(study)


def test_hypotheses_stand_in_the_order_of_their_numbers() -> None:
    keys = [hypothesis.key for hypothesis in hypotheses()]
    assert keys == [f"H{number}" for number in range(8)] + ["H8a", "H8b", "H8c", "H9", "H10", "H11"]
