"""QR codes of verifications: drawn in a terminal, read from pictures. Loaded when they are wanted.

Source: C-S API v1.19, "QR code format": the bytes are one segment in byte mode.
"""

import segno

from e2e.client.errors import BadKeys
from homeserver.errors import InvalidInput
from homeserver.events import base64

_QUIET = 4
"""Modules of white around a code, which scanners need."""

_COLOURS = "\x1b[30;107m"
_END = "\x1b[0m"
_HALVES = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}


def drawn(raw: bytes) -> list[str]:
    """Lines of half blocks, dark on white whatever the terminal's colours are."""
    code = segno.make_qr(raw, error="l", mode="byte", boost_error=False)
    rows = [[int(module) for module in row] for row in code.matrix_iter(border=_QUIET)]
    rows += [[0] * len(rows[0])] * (len(rows) % 2)
    return [
        f"{_COLOURS}{''.join(_HALVES[pair] for pair in zip(upper, lower, strict=True))}{_END}"
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    ]


def as_text(raw: bytes) -> str:
    """For those who copy instead of scanning."""
    return base64.encode(raw)


def from_text(text: str) -> bytes:
    """Raises BadKeys."""
    try:
        return base64.decode("".join(text.split()))
    except InvalidInput:
        raise BadKeys("neither a picture nor the text of a QR code") from None


def from_picture(path: str) -> bytes:
    """Raises BadKeys where there is no code in it."""
    import pyvips  # noqa: PLC0415 - takes a while, and those who compare numbers do not need it
    import zxingcpp  # noqa: PLC0415 - the same

    try:
        picture = pyvips.Image.new_from_file(path)
        grey = picture.flatten(background=255) if picture.hasalpha() else picture
        grey = grey.colourspace("b-w").cast("uchar").extract_band(0)
        pixels = memoryview(grey.write_to_memory()).cast("B", [grey.height, grey.width])
    except pyvips.Error:
        raise BadKeys(f"{path} is no picture that can be read") from None
    found = zxingcpp.read_barcodes(
        pixels, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
    )
    if not found:
        raise BadKeys(f"there is no QR code in {path}")
    return bytes(found[0].bytes)
