"""The part of a cell that says what is done to its training images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from agc.registry import LATER, Strict

Pixels = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(gt=0, le=1)]


class Augmentation(Strict):
    """What is done to training images, in the order crop, flip, cutout.

    Attributes:
        crop: random crop of the old size after so many pixels of padding.
        flip: mirror half of the images left to right.
        padding: what the padding shows.
        area: instead of a crop with padding, one of a random share of the image between these two,
            with an aspect ratio of 3/4 to 4/3, resized to the whole.
        cutout: side of a black square at a random place, in pixels; 0 for none.
        locked: each pass of an epoch sees the very same batches, augmented in the same way
            ("transform locking"); otherwise each pass draws its own.
    """

    crop: Pixels = 0
    flip: bool = False
    padding: Annotated[Literal["zero", "reflect"], LATER] = "zero"
    area: Annotated[tuple[Share, Share] | None, LATER] = None
    cutout: Annotated[Pixels, LATER] = 0
    locked: Annotated[bool, LATER] = False

    @model_validator(mode="after")
    def _makes_sense(self) -> Augmentation:
        if self.area is not None and self.area[0] > self.area[1]:
            raise ValueError(f"area = {list(self.area)}: the smaller share comes first")
        if self.area is not None and self.crop:
            raise ValueError(f"crop = {self.crop} and area = {list(self.area)}: one of the two")
        if self.padding != "zero" and not self.crop:
            raise ValueError(f"padding = {self.padding!r} needs a crop above 0")
        return self
