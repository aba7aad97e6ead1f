"""The data set of a cell as MLflow keeps data sets: the input of a run."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

DIGEST_LETTERS = 8


def dataset_input(dataset: dict[str, Any]) -> DatasetInput:
    """The input of a run.

    Its digest is one of name and options, by which runs of the same data are found; the files of a
    data set have checksums of their own, which are verified when it is prepared.

    Args:
        dataset: ``name`` and ``options`` of the cell's data set.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    text = json.dumps(dataset, sort_keys=True)
    entity = Dataset(
        name=dataset["name"],
        digest=hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LETTERS],
        source_type="code",
        source=json.dumps({"tags": {"mlflow.source.name": "agc", "agc.dataset": text}}),
    )
    return DatasetInput(entity, [InputTag("mlflow.data.context", "training")])
