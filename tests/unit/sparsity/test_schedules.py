from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agc.sparsity.schedules import SCHEDULES, constant, cosine, linear

INITIAL = st.floats(1e-6, 1)
PROGRESS = st.floats(0, 1)


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (cosine, (0.4, 0.3414213562, 0.2, 0.0)),
        (linear, (0.4, 0.3, 0.2, 0.0)),
        (constant, [0.4] * 4),
    ],
)
def test_drop_fractions_at_their_start_quarter_half_and_end(schedule, values) -> None:
    found = [schedule(0.4, progress) for progress in (0, 0.25, 0.5, 1)]
    assert found == pytest.approx(values, abs=1e-9)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
@given(initial=INITIAL, one=PROGRESS, other=PROGRESS)
def test_no_drop_fraction_rises_or_leaves_its_range(
    name: str, initial: float, one: float, other: float
) -> None:
    early, late = (SCHEDULES[name](initial, progress) for progress in sorted((one, other)))
    assert 0 <= late <= early + 1e-15
    assert early <= initial * (1 + 1e-12)
