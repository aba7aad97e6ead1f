"""What several files here make once."""

from __future__ import annotations

import pytest

from tests.support.generated_texts import Made, make_studies


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """Made-up studies with their reports: a grid and a ladder of budgets."""
    return make_studies(tmp_path_factory.mktemp("studies"))
