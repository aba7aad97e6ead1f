"""Each hypothesis says what was planted, by numbers that another computation gives as well."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from agc.grids.cell import Cell
from agc.reports.findings import findings, hypotheses
from agc.reports.hypotheses.base import HYPOTHESES, Finding, StudyData
from agc.reports.verdict import FAILS, HOLDS, NOT_RUN, OPEN
from tests.support.study_records import (
    made_gradients,
    make_study,
    replanted,
    stage_cells,
    with_effect,
)

SD = 0.001
DOUBLING = 0.012
"""What twice the epochs give by the plain truth."""
LONG = DOUBLING * np.log2(67 / 20)


def of(correction: str, by: float, **options: object) -> Callable[[Cell], float]:
    """An effect of one correction with these options."""

    def effect(cell: Cell) -> float:
        own = cell.correction
        same = all(own.options.get(key) == value for key, value in options.items())
        return by * (own.name == correction and same)

    return effect


def agc(by: float) -> Callable[[Cell], float]:
    return of("agc", by, gamma=0.1)


def by_batch(by: float) -> Callable[[Cell], float]:
    """γ 1 gains this much for each factor of 4 of the batch."""
    strong = of("agc", by, gamma=1.0)
    return lambda cell: strong(cell) * np.log(cell.training.batch_size / 128) / np.log(4)


def by_zeros(by: float) -> Callable[[Cell], float]:
    return lambda cell: agc(by)(cell) * (cell.sparsity == 0.98)


def noise(sd: float) -> Callable[[Cell], float]:
    return lambda cell: sd * np.random.default_rng(int(cell.digest[:8], 16)).normal()


def longer(by: float) -> Callable[[Cell], float]:
    return lambda cell: by * (cell.training.epochs == 67)


def nothing(cell: Cell) -> float:
    return 0.0


@dataclass(frozen=True)
class Made:
    study: StudyData
    stages: dict[str, tuple[Cell, ...]]

    def planted(self, effect: Callable[[Cell], float], ratio: float | None = None) -> Made:
        study = replanted(self.study, self.stages, effect)
        gradients = None if ratio is None else made_gradients(study, ratio)
        return replace(self, study=study._replace(gradients=gradients))

    def without(self, *names: str) -> Made:
        left = {name: slugs for name, slugs in self.study.stages.items() if name not in names}
        return replace(self, study=self.study._replace(stages=left))

    def finding(self, key: str) -> Finding:
        (found,) = findings(self.study, [HYPOTHESES[key].target()])
        return found


@pytest.fixture(scope="module")
def made() -> Made:
    stages = stage_cells()
    return Made(make_study(stages=stages, sd=SD), stages)


PLANTED = [
    ("H0", nothing, None, HOLDS),
    ("H0", longer(-LONG), None, FAILS),
    ("H0", longer(0.005 - LONG), None, OPEN),
    ("H0", of("placebo", 0.01), None, FAILS),
    ("H0", of("none", 0.01), None, FAILS),  # A placebo that does harm, by that.
    ("H1", agc(0.01), None, HOLDS),
    ("H1", nothing, None, FAILS),
    ("H1", agc(0.005), None, OPEN),
    ("H2", agc(DOUBLING), None, HOLDS),
    ("H2", nothing, None, FAILS),
    ("H2", agc(DOUBLING * np.log2(1 / 0.8)), None, OPEN),
    ("H3", agc(LONG), None, HOLDS),
    ("H3", nothing, None, FAILS),
    ("H3", lambda cell: agc(LONG)(cell) + noise(0.02)(cell), None, OPEN),
    ("H4", agc(0.01), None, HOLDS),
    ("H4", agc(-0.01), None, HOLDS),
    ("H4", nothing, None, FAILS),
    ("H4", agc(0.003), None, OPEN),
    ("H5", nothing, 0.9, HOLDS),
    ("H5", nothing, 0.5, FAILS),
    ("H5", nothing, 0.97, OPEN),
    ("H5", agc(0.01), 0.9, FAILS),
    ("H5", nothing, None, OPEN),  # Not measured.
    ("H6", by_batch(0.005), None, HOLDS),
    ("H6", nothing, None, FAILS),
    ("H6", by_batch(0.0025), None, OPEN),
    ("H7", by_zeros(0.01), None, HOLDS),
    ("H7", nothing, None, FAILS),
    ("H7", by_zeros(0.005), None, OPEN),
    ("H9", of("agc", 0.01, gamma=0.0), None, HOLDS),
    ("H9", nothing, None, FAILS),
    ("H9", of("agc", 0.003, gamma=0.0), None, OPEN),
]


@pytest.mark.parametrize(("key", "effect", "ratio", "word"), PLANTED)
def test_a_hypothesis_says_what_was_planted(
    key: str, effect: Callable[[Cell], float], ratio: float | None, word: str, made: Made
) -> None:
    assert made.planted(effect, ratio).finding(key).word == word


def test_without_its_stages_a_hypothesis_has_not_been_run(made: Made) -> None:
    empty = made.study._replace(stages={})
    for found in findings(empty):
        assert (found.word, found.parts) == (NOT_RUN, []), found.hypothesis.key
        assert np.isnan(found.p_holm)
    assert made.without("study-published").finding("H9").word == NOT_RUN


def test_half_of_what_decides_leaves_a_hypothesis_open(made: Made) -> None:
    half = made.without("study-controls").finding("H0")
    assert all(part.holds for part in half.parts)
    assert (len(half.parts), half.word) == (2, OPEN)
    # But one that fails is enough.
    worse = made.planted(of("placebo", 0.01)).without("study-controls")
    assert worse.finding("H0").word == FAILS


# --- the numbers ----------------------------------------------------------------------------------


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
