"""Pictures of any kind and shape, as bytes."""

import struct
import zlib
from typing import Any

import pyvips

RED, GREEN, BLUE = (220, 20, 20), (20, 200, 20), (20, 20, 220)


def plain(width: int, height: int, colour: tuple[int, ...] = RED) -> Any:
    """A picture of one colour; of four numbers, the last is how opaque it is."""
    picture = pyvips.Image.black(width, height).new_from_image(list(colour))
    return picture.cast("uchar").copy(interpretation="srgb")


def halves(width: int, height: int) -> Any:
    """Left red, right blue."""
    left = plain(width // 2, height, RED)
    return left.join(plain(width - width // 2, height, BLUE), "horizontal")


def noise(width: int, height: int) -> Any:
    """Hard to compress, as photos are."""
    bands = [pyvips.Image.gaussnoise(width, height, mean=128, sigma=50) for _ in range(3)]
    return bands[0].bandjoin(bands[1:]).cast("uchar").copy(interpretation="srgb")


def png(picture: Any) -> bytes:
    return bytes(picture.pngsave_buffer(compression=1))


def jpeg(picture: Any) -> bytes:
    return bytes(picture.jpegsave_buffer(Q=90))


def webp(picture: Any) -> bytes:
    return bytes(picture.webpsave_buffer(lossless=True, effort=0))


def avif(picture: Any) -> bytes:
    return bytes(picture.heifsave_buffer(compression="av1", effort=0))


def turned_jpeg(picture: Any, orientation: int) -> bytes:
    """With an EXIF orientation, and a place where it was taken."""
    with_exif = picture.copy()
    with_exif.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    place = "Mare Tranquillitatis (Mare Tranquillitatis, ASCII, 21 components, 21 bytes)"
    with_exif.set_type(pyvips.GValue.gstr_type, "exif-ifd0-ImageDescription", place)
    return jpeg(with_exif)


def frames(width: int, height: int, count: int = 3, *, delay_ms: int = 100) -> Any:
    """An animation: each frame of another shade."""
    shades = [
        plain(width, height, (40 * (n % 6) + 20, 10, 200 - 30 * (n % 6))) for n in range(count)
    ]
    joined = pyvips.Image.arrayjoin(shades, across=1).copy()
    joined.set_type(pyvips.GValue.gint_type, "page-height", height)
    joined.set_type(pyvips.GValue.array_int_type, "delay", [delay_ms] * count)
    return joined


def animated_gif(width: int, height: int, count: int = 3) -> bytes:
    return bytes(frames(width, height, count).gifsave_buffer())


def animated_webp(width: int, height: int, count: int = 3) -> bytes:
    return bytes(frames(width, height, count).webpsave_buffer(lossless=True, effort=0))


def animated_png(width: int, height: int) -> bytes:
    """The first frame of an APNG with two, and what says that there are two."""
    still = png(plain(width, height))
    header_end = 8 + 8 + 13 + 4
    control = _chunk(b"acTL", struct.pack(">II", 2, 0))
    return still[:header_end] + control + still[header_end:]


def bomb_png(width: int, height: int) -> bytes:
    """A few kilobytes that say they are a picture of this size, and would unpack to it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(9)
    lines = packer.compress(bytes(min(width * 3, 10_000_000))) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", lines)
        + _chunk(b"IEND", b"")
    )


def decoded(data: bytes, **options: Any) -> Any:
    """As a picture that can be looked into. options: `n=-1` for all frames."""
    return pyvips.Image.new_from_buffer(data, "", **options)


def colour_at(picture: Any, x: int, y: int) -> str:
    """Which of red, green and blue there is most of."""
    pixel = picture(x, y)[:3]
    return ("red", "green", "blue")[pixel.index(max(pixel))]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
