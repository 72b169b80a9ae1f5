"""What kind of picture a file is, told by how it begins. Pure."""

from enum import Enum

HEAD_BYTES = 64
"""So many bytes tell the kind."""

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_BRAND_BYTES = 4
_BRANDS_AT = 16


class Format(Enum):
    """The kinds that are decoded, by their content type. Everything else is no picture here: SVG,
    PDF and the like are programs more than pictures, and decoders of rare formats are less tested.
    """

    JPEG = "image/jpeg"
    PNG = "image/png"
    GIF = "image/gif"
    WEBP = "image/webp"
    AVIF = "image/avif"


FOR_THUMBNAILS = frozenset({Format.JPEG, Format.PNG, Format.GIF, Format.WEBP})
"""C-S API v1.19 `getContentThumbnailAuthed`: the kinds that a thumbnail may be."""


def sniff(head: bytes) -> Format | None:
    """The kind of a file. head: its first HEAD_BYTES bytes, or all of it."""
    if head.startswith(b"\xff\xd8\xff"):
        return Format.JPEG
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return Format.PNG
    if head.startswith((b"GIF87a", b"GIF89a")):
        return Format.GIF
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Format.WEBP
    return Format.AVIF if _is_avif(head) else None


def _is_avif(head: bytes) -> bool:
    """ISO/IEC 14496-12, 4.3: a box `ftyp` with a major brand, a version and compatible brands."""
    if head[4:8] != b"ftyp":
        return False
    box = head[: min(int.from_bytes(head[:4], "big"), HEAD_BYTES)]
    compatible = range(_BRANDS_AT, len(box), _BRAND_BYTES)
    return bool(_AVIF_BRANDS & {box[8:12], *(box[at : at + _BRAND_BYTES] for at in compatible)})
