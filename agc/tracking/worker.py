"""A process that fills runs: it reads jobs and answers each with a line when it is done."""

from __future__ import annotations

import gc
import json
import os
import sys

from agc.errors import UserError
from agc.tracking.store import open_client, store_errors
from agc.tracking.writing import Job, fill


def main() -> None:
    """Fill runs until the input ends; stop at once if the process that gave them was killed."""
    parent = os.getppid()
    # Whatever a library prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    uri = os.environ["MLFLOW_TRACKING_URI"]
    client = None
    for line in sys.stdin:
        if os.getppid() != parent:
            return
        error = None
        try:
            if client is None:
                client = open_client(uri)
                # MLflow's modules hold 300,000 objects, that every full collection would visit.
                gc.freeze()
            with store_errors(uri):
                fill(client, Job.from_json(line))
        except UserError as caught:
            error = str(caught)
        try:
            print(json.dumps({"error": error}), file=answers, flush=True)
        except BrokenPipeError:
            return


if __name__ == "__main__":
    main()
