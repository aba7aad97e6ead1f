"""Telling that an operation has no deterministic algorithm on a device."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from agc.errors import UserError

SAYING = re.compile(r"(\S+) does not have a deterministic implementation")


@contextmanager
def determinism_errors() -> Iterator[None]:
    """Turn torch's refusal of an operation in the block into a :class:`UserError`.

    Raises:
        UserError: the device has one algorithm for it, whose results differ from run to run.
    """
    try:
        yield
    except RuntimeError as error:
        found = SAYING.search(str(error))
        if found is None:
            raise
        raise UserError(
            f"{found[1]} has no deterministic algorithm on this device, so a repeated run would "
            "not have the same bits; --fast allows it"
        ) from error
