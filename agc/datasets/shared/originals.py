"""Original files of data sets: where they are looked for, how they are verified and fetched."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agc.datasets.shared.place import data_root, raw_folder
from agc.errors import UserError

Report = Callable[[str], None]


@dataclass(frozen=True)
class Original:
    """A published file.

    Attributes:
        name: of the file.
        md5: published checksum, hexadecimal.
        urls: where it can be downloaded, best first; empty if only by hand.
        content: MD5 of what a gzip file holds. Packages compress anew, without name and date in the
            header, so that their files differ from the published ones and hold the same.
    """

    name: str
    md5: str
    urls: tuple[str, ...] = ()
    content: str = ""


@dataclass(frozen=True)
class Source:
    """Where the files of a data set come from, and how they become a store.

    Attributes:
        originals: gives the files; called with the options in ``variants``.
        convert: ``(paths by file name, folder)``; writes the arrays of the store into ``folder``,
            returns the number of classes. The paths are verified then.
        layout: folders in which other libraries keep the files, relative to a root.
        system: folder in which a system's package has the files.
        package: name of that package.
        by_hand: where to get files that cannot be downloaded.
        variants: options of the entry (true or false) that choose what is stored.
    """

    originals: Callable[..., Sequence[Original]]
    convert: Callable[[dict[str, Path], Path], int]
    layout: tuple[str, ...] = ()
    system: Path | None = None
    package: str = ""
    by_hand: str = ""
    variants: tuple[str, ...] = ()

    def chosen(self, options: dict[str, Any]) -> dict[str, Any]:
        """Those of an entry's options that choose what is stored."""
        return {name: options[name] for name in self.variants if options.get(name)}

    def __str__(self) -> str:
        ways = [f"Debian's {self.package}"] if self.package else []
        return ", ".join([*ways, "by hand" if self.by_hand else "download"])


def gather(
    name: str,
    source: Source,
    originals: Sequence[Original],
    root: Path | None,
    download: bool,
    report: Report,
) -> dict[str, Path]:
    """Paths of all original files, verified: in ``root``, the data root, the system, downloaded.

    Raises:
        UserError: a file is truncated, corrupt or another one; or it is nowhere and cannot be
            downloaded. The message names it, and says where to put it.
    """
    places = list(_places(name, source, root))
    found, missing = {}, []
    for original in originals:
        path = next((p / original.name for p in places if (p / original.name).is_file()), None)
        if path is None:
            missing.append(original)
            continue
        _verify(path, original, name)
        report(f"{name}: {path} is whole")
        found[original.name] = path
    if missing and not download:
        raise _nowhere(name, source, missing, "downloading is switched off")
    for original in missing:
        try:
            found[original.name] = _download(original, raw_folder(name), report)
        except (OSError, RuntimeError) as error:
            raise _nowhere(name, source, missing, " ".join(str(error).split())) from error
    return found


def _places(name: str, source: Source, root: Path | None) -> Iterator[Path]:
    """Folders to look into, in this order.

    The names of MNIST's files are those of Fashion-MNIST's as well: a folder itself is looked into
    last, and only if the user has named it for this data set.
    """
    for top in (root, data_root()):
        if top is not None:
            yield from (top / "raw" / name, top / name, *(top / part for part in source.layout))
    if root is not None:
        yield root
    if source.system is not None:
        yield source.system


def _verify(path: Path, original: Original, name: str) -> None:
    from torchvision.datasets.utils import calculate_md5

    try:
        found = calculate_md5(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    if found != original.md5 and not (original.content and _content(path) == original.content):
        raise UserError(
            f"{path} is not the published {original.name} of {name}, but truncated, corrupt or "
            f"another file: its MD5 is {found}, not {original.md5}; remove or replace it"
        )


def _content(path: Path) -> str | None:
    """MD5 of what a gzip file holds, or None if it is not a whole one."""
    try:
        with gzip.open(path) as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    except (OSError, EOFError, zlib.error):
        return None


def _download(original: Original, folder: Path, report: Report) -> Path:
    """Fetch a file; under its own name it is whole, whenever the download is interrupted."""
    from torchvision.datasets.utils import download_url

    if not original.urls:
        raise OSError("it cannot be downloaded")
    partial = folder / f".download.{os.getpid()}.tmp"
    problems = []
    try:
        for url in original.urls:
            report(f"downloading {url}")
            try:
                download_url(url, partial, original.name, original.md5)
            except (OSError, RuntimeError) as error:
                problems.append(f"{url}: {error}")
                continue
            return (partial / original.name).replace(folder / original.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    raise OSError("; ".join(problems))


def _nowhere(name: str, source: Source, missing: Sequence[Original], reason: str) -> UserError:
    files = ", ".join(original.name for original in missing)
    ways = [f"put them into {raw_folder(name)}", "name their folder with --root"]
    if source.package:
        ways.append(f"install the Debian package {source.package}")
    if source.by_hand:
        ways[0] = f"get them from {source.by_hand} and {ways[0]}"
    return UserError(
        f"{name}: {files} not found on this machine, and not downloaded ({reason}): "
        f"{', or '.join(ways)}"
    )
