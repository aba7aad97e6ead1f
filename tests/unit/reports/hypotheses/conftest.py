"""What files here make once."""

from __future__ import annotations

import pytest

from tests.support.planted_studies import (
    SD,
    Made,
)
from tests.support.study_records import (
    make_study,
    stage_cells,
)


@pytest.fixture(scope="session")
def made() -> Made:
    stages = stage_cells()
    return Made(make_study(stages=stages, sd=SD), stages)
