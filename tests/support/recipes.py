"""Recipes of a user's own folder."""

from __future__ import annotations

from pathlib import Path


def recipe(folder: Path, name: str, text: str) -> Path:
    """Write ``workflows/recipes/NAME.yaml`` of a folder."""
    path = folder / "workflows" / "recipes" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
