"""The other uses of JIIO that its paper names, as the examples have them."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any


def main_of(script: str, repository: Path) -> Any:
    return runpy.run_path(str(repository / "examples" / f"{script}.py"))["main"]


def test_latents_decode_images_and_fill_in_what_is_hidden(repository: Path) -> None:
    found = main_of("latents", repository)(epochs=4)
    assert found["decoding"] < 0.7
    assert found["inpainting"] < 0.9


def test_a_task_is_learnt_from_ten_points(repository: Path) -> None:
    assert main_of("meta_learning", repository)(steps=60) < 0.7
