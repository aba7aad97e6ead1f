"""Where data live on this machine.

``AGC_DATA_ROOT`` names the folder; without it, it is ``agc`` in the user's cache
(``XDG_CACHE_HOME``, or ``~/.cache``). In it, ``raw/NAME`` holds original files, downloaded or put
there by hand, and ``prepared/NAME`` what :mod:`agc.datasets.shared.prepare` made of them.
"""

from __future__ import annotations

import os
from pathlib import Path


def data_root() -> Path:
    """The folder of all data; it need not exist."""
    given = os.environ.get("AGC_DATA_ROOT")
    if given:
        return Path(given).expanduser().absolute()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache.absolute() / "agc"


def raw_folder(name: str) -> Path:
    """Where original files of a data set are kept, and may be put by hand."""
    return data_root() / "raw" / name


def prepared_folder(key: str) -> Path:
    """Where the prepared store of a data set is."""
    return data_root() / "prepared" / key
