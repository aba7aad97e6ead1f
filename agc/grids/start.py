"""Which weights a training starts from, if not from those that its seed draws."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from agc.architectures.shared.pretrained import content_digest, pretrained
from agc.errors import UserError
from agc.registry import LATER, Strict

SOURCES = ("cell", "file", "timm")

NOT_HASHED = ("file", "name")
"""Of a start: where its weights lie, and what they are called."""

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Start(Strict):
    """The weights that a training starts from: of one of ``cell``, ``file`` and ``timm``.

    Their content is part of the cell's hash, and where they lie is not: of another cell its whole
    description, of a file or a checkpoint the digest.

    Attributes:
        cell: another cell, as its own JSON has it; without a seed it is the one with this cell's.
            Its weights are those of its last epoch.
        file: path of a safetensors file: a cell's, or a state dict of the network.
        timm: name of one of timm's pretrained checkpoints.
        digest: SHA-256 of the file, or of the checkpoint's tensors; found where it is not given.
        name: what tables call it; no part of the hash.
        head: whether to ``keep`` the classifier's weights, or to begin with a ``new`` one, drawn
            by the seed, and not as without a start: a source of this seed has begun with that.
    """

    cell: Annotated[dict[str, Any] | None, LATER] = None
    file: Annotated[str | None, LATER] = None
    timm: Annotated[str | None, LATER] = None
    digest: Annotated[Digest | None, LATER] = None
    name: Annotated[str, LATER] = ""
    head: Literal["keep", "new"] = "keep"

    @model_validator(mode="before")
    @classmethod
    def _find_digest(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("digest") is not None:
            return data
        try:
            if isinstance(data.get("file"), str):
                return {**data, "digest": file_digest(Path(data["file"]))}
            if isinstance(data.get("timm"), str):
                return {**data, "digest": content_digest(pretrained(data["timm"]))}
        except UserError as error:
            raise ValueError(str(error)) from error
        return data

    @model_validator(mode="after")
    def _one_source(self) -> Start:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"start names one of {', '.join(SOURCES)}, got {found}")
        return self


def described(start: dict[str, Any]) -> str:
    """A start as plain data in a few words, for tables: the same for all seeds."""
    head = ", new head" if start["head"] == "new" else ""
    if name := start.get("name") or start.get("timm") or Path(start.get("file") or "").name:
        return f"{name}{head}"
    text = json.dumps(start.get("cell"), sort_keys=True)
    return f"cell {hashlib.sha256(text.encode()).hexdigest()[:8]}{head}"


def file_digest(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"start.file {path}: {error.strerror or error}") from error


def hashed(cell: dict[str, Any]) -> dict[str, Any]:
    """A cell's content without where the weights lie that it starts from."""
    start = cell["training"].get("start")
    if start is None:
        return cell
    start = {key: value for key, value in start.items() if key not in NOT_HASHED}
    if start.get("cell") is not None:
        start["cell"] = hashed(start["cell"])
    return {**cell, "training": {**cell["training"], "start": start}}
