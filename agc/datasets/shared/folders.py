"""Images in folders, one folder a class: which files they are, and what is passed over.

Classes and files are numbered as torchvision's ``ImageFolder`` does it, by their names.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agc.errors import UserError

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Of files that are images, in upper or lower case."""

SYSTEM = {"#recycle", "#snapshot", "$recycle.bin", "@eadir", "__macosx", "desktop.ini"}
SYSTEM |= {"ehthumbs.db", "lost+found", "system volume information", "thumbs.db"}
"""What systems put into folders, in lower case; so is what begins with a dot."""

NAMED = 3
"""Names that a message gives."""


@dataclass
class Folder:
    """Images of one split, sorted by class, then by path.

    Attributes:
        classes: names of the class folders, sorted.
        paths: of the images.
        labels: of the images.
        ignored: names of what was passed over, by kind.
    """

    classes: list[str]
    paths: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    ignored: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def read_folder(root: Path) -> Folder:
    """Find the images of ``root/CLASS/**``; links are followed, no image is opened.

    Raises:
        UserError: a folder cannot be read, has no image or lies in itself by a link, or an image
            is a link to nothing.
    """
    found = Folder([])
    for entry in _entries(str(root)):
        if _is_system(entry.name):
            found.ignored[_kind(entry)].append(entry.name)
        elif entry.is_dir():
            found.classes.append(entry.name)
        else:
            found.ignored["files beside the class folders"].append(entry.name)
    found.classes.sort()
    if not found.classes:
        raise UserError(f"{printable(str(root))} has no folder of a class")
    empty = []
    for label, name in enumerate(found.classes):
        paths = list(_images(os.path.join(root, name), found.ignored))  # noqa: PTH118
        found.paths += paths
        found.labels += [label] * len(paths)
        if not paths:
            empty.append(name)
    if empty:
        passed = passed_over([found])
        raise UserError(
            f"{printable(str(root))}: no image in {_names(empty)} (an image ends in "
            f"{', '.join(ENDINGS)}{'; passed over: ' + passed if passed else ''})"
        )
    return found


def passed_over(folders: list[Folder]) -> str:
    """What was ignored in some folders, counted by kind, or nothing."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for folder in folders:
        for kind, names in folder.ignored.items():
            kinds[kind] += names
    return ", ".join(
        f"{len(names)} {kind} ({_names(sorted(set(names)))})" for kind, names in kinds.items()
    )


def differing(first: Folder, second: Folder, names: tuple[str, str]) -> str:
    """How the classes of two splits differ, or nothing."""
    own = [sorted(set(a.classes) - set(b.classes)) for a, b in ((first, second), (second, first))]
    if not any(own):
        return ""
    sides = [
        f"only in {name}: {_names(only)}" for name, only in zip(names, own, strict=True) if only
    ]
    alike = [
        f"{one!r} and {other!r} are one name but for upper case or Unicode"
        for one in own[0]
        for other in own[1]
        if _folded(one) == _folded(other)
    ]
    listed = _names(sorted(own[0] + own[1]), 2 * NAMED)
    return f"{listed} ({'; '.join(sides + alike[:1])})"


def printable(path: str) -> str:
    """A path whose bytes may be no UTF-8, as text that can be shown everywhere."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _images(top: str, ignored: dict[str, list[str]]) -> Iterator[str]:
    """Paths of a class in the order of ``sorted(os.walk(top))``."""
    found: dict[str, list[str]] = {}

    def visit(folder: str, above: tuple[tuple[int, int], ...]) -> None:
        facts = os.stat(folder)  # noqa: PTH116
        place = facts.st_dev, facts.st_ino
        if place in above:
            raise UserError(f"{printable(folder)} is a link to a folder that it lies in")
        found[folder] = []
        for entry in _entries(folder):
            if _is_system(entry.name):
                ignored[_kind(entry)].append(entry.name)
            elif entry.is_dir():
                visit(entry.path, (*above, place))
            elif not entry.name.lower().endswith(ENDINGS):
                ending = os.path.splitext(entry.name)[1]  # noqa: PTH122
                ignored["files that do not end as images do"].append(ending or entry.name)
            elif not entry.is_file():
                what = "a link to nothing" if entry.is_symlink() else "no file"
                raise UserError(f"{printable(entry.path)} is {what}")
            else:
                found[folder].append(entry.name)

    visit(top, ())
    for folder in sorted(found):
        for name in sorted(found[folder]):
            yield os.path.join(folder, name)  # noqa: PTH118


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise UserError(f"{printable(folder)} cannot be read: {error.strerror or error}") from error


def _is_system(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM


def _kind(entry: os.DirEntry[str]) -> str:
    return f"hidden or system {'folders' if entry.is_dir() else 'files'}"


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _names(names: list[str], most: int = NAMED) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + rest
