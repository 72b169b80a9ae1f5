"""Whether a PNG is an animation, which libvips cannot tell. Pure but for reading the file."""

from pathlib import Path

_SIGNATURE_BYTES = 8
_MAX_CHUNKS = 256


def is_animated_png(file: Path) -> bool:
    """PNG, third edition, 11.3.6.1: an animation has a chunk `acTL` before the first `IDAT`."""
    with file.open("rb") as opened:
        opened.seek(_SIGNATURE_BYTES)
        for _ in range(_MAX_CHUNKS):
            length, kind = opened.read(4), opened.read(4)
            if kind == b"acTL":
                return True
            if kind == b"IDAT" or len(kind) < 4:  # noqa: PLR2004
                return False
            opened.seek(int.from_bytes(length, "big") + 4, 1)
    return False
