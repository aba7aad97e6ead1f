"""Where the Snakefile, the grids, the recipes and their like are: in the project or in the package.

The checkout has them at its top; in a wheel the same files lie in the folder ``shipped`` of the
package. Whatever is looked up by name is looked for in ``workflows/`` of the present folder first.
"""

from __future__ import annotations

from pathlib import Path

from agc.errors import UserError, unknown

PACKAGE = Path(__file__).parent


def checkout() -> Path | None:
    """Root of the sources that this code runs from; None if it was installed from a wheel."""
    return None if (PACKAGE / "shipped").is_dir() else PACKAGE.parent


def home() -> Path:
    """The folder that holds the package's own ``Snakefile`` and ``workflows/``."""
    return checkout() or PACKAGE / "shipped"


def snakefile() -> str:
    """Path of the package's Snakefile, for ``include:`` in a project's own."""
    return str(home() / "Snakefile")


def known_files(kind: str, workflows: Path | None = None) -> dict[str, Path]:
    """Name and path of every ``<kind>/*.yaml``: of ``workflows`` if given, of the present folder's
    ``workflows/`` and of the package. Of a name that several have, the first counts.
    """
    folders = [Path("workflows"), home() / "workflows"]
    folders = [workflows, *folders] if workflows is not None else folders
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.joinpath(kind).glob("*.yaml")):
            if path.is_file():
                found.setdefault(path.stem, path)
    return found


def find_file(kind: str, name: str, workflows: Path | None = None) -> Path:
    """Path of ``<kind>/<name>.yaml``, or ``name`` itself if it is a YAML file's path.

    Raises:
        UserError: no such file; the message lists those that there are.
    """
    direct = Path(name)
    if direct.suffix in (".yaml", ".yml"):
        if direct.is_file():
            return direct
        raise UserError(f"{direct} does not exist")
    known = known_files(kind, workflows)
    if name not in known:
        raise unknown(kind.removesuffix("s"), name, known)
    return known[name]
