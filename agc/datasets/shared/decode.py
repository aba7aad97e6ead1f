"""From an encoded image to its pixels, and what PIL reads otherwise than a viewer shows it."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

REMARKS = (
    "an EXIF orientation, which is not followed (`upright: true` of image-folder follows it)",
    "transparent pixels, of which the colours beneath are taken",
    "several frames, of which the first is taken",
)
"""What an image may have, which the usual readers pass over in silence; bit i stands for item i."""

ORIENTATION, UPRIGHT = 0x0112, 1
"""The tag of EXIF, and its value where nothing is to be turned or mirrored."""

SEVERAL_FRAMES = ("GIF", "PNG", "TIFF", "WEBP")
"""Formats with frames; cameras put a preview behind a JPEG image as a second one."""


class NoImage(Exception):
    """Bytes that are no image, or none that 8 bits a channel hold."""


def decode(encoded: bytes, upright: bool = False) -> tuple[Image, int]:
    """An image as RGB, as torchvision's folders read it, and which of :data:`REMARKS` it has.

    Args:
        encoded: content of an image's file.
        upright: turn and mirror it as its EXIF orientation says.

    Raises:
        NoImage: it is broken, too large, or of more than 8 bits a channel, which PIL would clip
            at 255; the message goes on from the image's name.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        image = Image.open(BytesIO(encoded))
        if image.mode in ("I", "F") or image.mode.startswith("I;"):
            raise NoImage(
                f"has more than 8 bits a channel (PIL's mode {image.mode}): scale its values to "
                "0 to 255 first"
            )
        image.load()
        remarks = _remarks(image, upright)
        if upright:
            image = ImageOps.exif_transpose(image)
        return image.convert("RGB"), remarks
    except (NoImage, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise NoImage("is no whole image: PIL knows no such format") from error
    except Image.DecompressionBombError as error:
        raise NoImage(f"is too large: {error}") from error
    except Exception as error:  # whatever junk makes the readers of PIL stumble over
        raise NoImage(f"is no whole image: {' '.join(str(error).split())}") from error


def _remarks(image: Image, upright: bool) -> int:
    """Bits of a loaded image; those of most images cost a look at a dictionary."""
    found = (
        not upright and "exif" in image.info and _orientation(image) != UPRIGHT,
        image.has_transparency_data and image.convert("RGBA").getextrema()[3][0] < 255,
        image.format in SEVERAL_FRAMES and getattr(image, "is_animated", False),
    )
    return sum(bit << place for place, bit in enumerate(map(bool, found)))


def _orientation(image: Image) -> int:
    """Of EXIF; that of damaged EXIF data is upright, as viewers have it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = image.getexif().get(ORIENTATION, UPRIGHT)
        except Exception:  # whatever junk makes the reader stumble over
            return UPRIGHT
    return value if value in range(1, 9) else UPRIGHT
