"""What several files here make once."""

from __future__ import annotations

from pathlib import Path

import pytest

from agc.reports.pages.base import Context
from tests.support.generated_texts import STAGED, Made, make_studies
from tests.support.study_pages import write_made_up_study


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """Made-up studies with their reports: a grid and a ladder of budgets."""
    return make_studies(tmp_path_factory.mktemp("studies"))


@pytest.fixture(scope="session")
def study_page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Context]:
    """The folder of a made-up study in stages, and what its page was made of."""
    out = tmp_path_factory.mktemp("stages") / STAGED
    out.mkdir()
    return out, write_made_up_study(out)
