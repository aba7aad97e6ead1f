"""Images of every kind are read as torchvision reads them, refused, or remarked on."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
from PIL import Image

from agc.datasets.shared.decode import REMARKS, NoImage, decode

TURNED, TRANSPARENT, FRAMES = (1 << bit for bit in range(len(REMARKS)))


def noise(mode: str = "RGB", seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(256, size=(11, 7, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def usual(data: bytes) -> np.ndarray:
    """The pixels as torchvision's own folders read them."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def oriented(value: int, kind: str = "JPEG", **options) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return encoded(noise(), kind, exif=exif, **options)


def with_alpha(mode: str, value: int) -> Image.Image:
    image = noise("RGBA")
    image.putalpha(255)
    image.putpixel((2, 3), (10, 20, 30, value))
    return image.convert(mode)


SOUND = {
    "RGB": encoded(noise(), "PNG"),
    "grey": encoded(noise("L"), "PNG"),
    "1 bit": encoded(noise("1"), "PNG"),
    "palette": encoded(noise("P"), "PNG"),
    "opaque": encoded(with_alpha("RGBA", 255), "PNG"),
    "opaque grey": encoded(with_alpha("LA", 255), "PNG"),
    "CMYK": encoded(noise("CMYK"), "JPEG"),
    "CMYK of TIFF": encoded(noise("CMYK"), "TIFF"),
    "LAB": encoded(Image.merge("LAB", noise().split()), "TIFF"),
    "grey JPEG": encoded(noise("L"), "JPEG"),
    "WebP": encoded(noise(), "WEBP", lossless=True),
    "BMP": encoded(noise(), "BMP"),
    "PPM": encoded(noise(), "PPM"),
    "TIFF": encoded(noise(), "TIFF", compression="tiff_lzw"),
    "turned TIFF, which PIL turns": oriented(6, "TIFF"),
    "upright": oriented(1),
    "orientation that there is not": oriented(0),
    "camera's preview": encoded(noise(), "MPO", save_all=True, append_images=[noise(seed=1)]),
}
REMARKED = {
    "turned": (oriented(6), TURNED),
    "mirrored": (oriented(2), TURNED),
    "turned PNG": (oriented(3, "PNG"), TURNED),
    "turned WebP": (oriented(8, "WEBP"), TURNED),
    "transparent": (encoded(with_alpha("RGBA", 254), "PNG"), TRANSPARENT),
    "transparent grey": (encoded(with_alpha("LA", 0), "PNG"), TRANSPARENT),
    "transparent palette": (encoded(noise("P"), "PNG", transparency=bytes(256)), TRANSPARENT),
    "transparent colour": (
        encoded(Image.new("RGB", (5, 5), (1, 2, 3)), "PNG", transparency=(1, 2, 3)),
        TRANSPARENT,
    ),
    "GIF": (encoded(noise("P"), "GIF", save_all=True, append_images=[noise("P", 1)]), FRAMES),
    "APNG": (encoded(noise(), "PNG", save_all=True, append_images=[noise(seed=1)]), FRAMES),
    "pages": (encoded(noise(), "TIFF", save_all=True, append_images=[noise(seed=1)]), FRAMES),
    "moving": (encoded(noise(), "WEBP", save_all=True, append_images=[noise(seed=1)]), FRAMES),
}
DEEP = np.arange(77, dtype=np.uint16).reshape(11, 7) * 800


@pytest.mark.parametrize("case", SOUND)
def test_images_that_everybody_reads_alike_are_read_so(case: str) -> None:
    image, remarks = decode(SOUND[case])
    np.testing.assert_array_equal(np.asarray(image), usual(SOUND[case]))
    assert remarks == 0


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("case", REMARKED)
def test_what_the_usual_reader_passes_over_is_read_so_and_remarked(case: str) -> None:
    data, expected = REMARKED[case]
    image, remarks = decode(data)
    np.testing.assert_array_equal(np.asarray(image), usual(data))
    assert remarks == expected


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_upright_image_is_the_one_that_viewers_show(orientation: int) -> None:
    pixels = np.asarray(noise())
    shown = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, -1),
        7: np.rot90(pixels, 2).transpose(1, 0, 2),
        8: np.rot90(pixels),
    }
    image, remarks = decode(oriented(orientation, "WEBP", lossless=True), upright=True)
    np.testing.assert_array_equal(np.asarray(image), shown[orientation])
    assert remarks == 0


@pytest.mark.parametrize(
    ("image", "kind", "mode"),
    [
        (Image.fromarray(DEEP), "PNG", "I;16"),
        (Image.fromarray(DEEP), "TIFF", "I;16"),
        (Image.fromarray(DEEP.astype(np.int32)), "TIFF", "I"),
        (Image.fromarray(DEEP.astype(np.float32) / 255), "TIFF", "F"),
    ],
)
def test_what_8_bits_do_not_hold_is_refused_instead_of_clipped(
    image: Image.Image, kind: str, mode: str
) -> None:
    with pytest.raises(NoImage, match=rf"^has more than 8 bits a channel \(PIL's mode {mode}\)"):
        decode(encoded(image, kind))


def test_what_is_no_image_is_refused_without_an_address_in_memory() -> None:
    for data in (b"", b"hello", b"\x89PNG\r\n\x1a\n"):
        with pytest.raises(NoImage, match=r"^is no whole image: PIL knows no such format$"):
            decode(data)


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(NoImage, match=r"^is too large: Image size \(77 pixels\) exceeds limit"):
        decode(SOUND["RGB"])


def test_memory_that_is_used_up_is_no_fault_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", full)
    with pytest.raises(MemoryError):
        decode(SOUND["RGB"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", ["RGB", "palette", "CMYK", "WebP", "BMP", "TIFF", "opaque grey"])
def test_junk_is_an_image_or_refused(case: str) -> None:
    draw, good = random.Random(0), SOUND[case]
    refused = 0
    for _ in range(150):
        bad = bytearray(good[: draw.randrange(len(good))] if draw.random() < 0.5 else good)
        for _ in range(draw.randrange(4)):
            if bad:
                bad[draw.randrange(len(bad))] = draw.randrange(256)
        try:
            decode(bytes(bad))
        except NoImage:
            refused += 1
    assert refused > 30


def test_damaged_exif_data_leave_an_image_as_it_is() -> None:
    data = encoded(noise(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f")
    image, remarks = decode(data)
    np.testing.assert_array_equal(np.asarray(image), usual(data))
    assert remarks == 0
