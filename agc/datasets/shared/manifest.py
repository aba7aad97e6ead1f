"""``manifest.json`` of a prepared store: it names the other files, and seals them and itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from agc.errors import UserError
from agc.files import read_json, write_json

FORMAT = 1
"""Version of the stores; one of another version is made anew."""

MANIFEST = "manifest.json"


def write_manifest(folder: Path, key: str, content: dict[str, Any]) -> None:
    """Write the manifest of a new store, whose other files are all there.

    Args:
        folder: of the store, under whatever name while it is made.
        key: name of the store when it is done.
        content: what is to be known of the data.
    """
    manifest = {
        **content,
        "format": FORMAT,
        "key": key,
        "files": {
            path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)}
            for path in sorted(folder.iterdir())
        },
    }
    write_json(folder / MANIFEST, {**manifest, "seal": _seal(manifest)})


def verified_manifest(folder: Path, name: str, thorough: bool) -> dict[str, Any]:
    """The manifest of a store that is whole and of the data set ``name``.

    Args:
        folder: of the store.
        name: of the data set.
        thorough: read every file; files of encoded images, which may be larger than memory, are
            else told by their size alone.

    Raises:
        UserError: the store is of another version or another data set, or a file is damaged.
    """
    path = folder / MANIFEST
    manifest = read_json(path)
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise UserError(f"{folder} has format {found!r}, this version of agc reads {FORMAT}")
    # Stores of before have neither a seal nor a key.
    seal = manifest.pop("seal", None)
    if (seal is None) != ("key" not in manifest) or seal not in (None, _seal(manifest)):
        raise UserError(f"{path} is corrupt: its content is not what was sealed")
    try:
        own, files = manifest["name"], dict(manifest["files"])
        sums = {file: (facts["bytes"], facts["sha256"]) for file, facts in files.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is corrupt: it is no manifest") from error
    if own != name or manifest.get("key", folder.name) != folder.name:
        raise UserError(f"{folder} holds data set {manifest.get('key', own)!r}, not its own")
    for file, expected in sums.items():
        _verify(folder / file, *expected, thorough)
    return manifest


def _verify(path: Path, size: int, digest: str, thorough: bool) -> None:
    found = path.stat().st_size if path.exists() else 0
    if found != size:
        raise UserError(f"{path} has {found} bytes instead of {size}")
    decoded = path.suffix == ".npy"
    if (thorough or decoded) and _sha256(path) != digest:
        raise UserError(f"{path} is corrupt: its SHA-256 is not that of its manifest")


def _seal(manifest: dict[str, Any]) -> str:
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
