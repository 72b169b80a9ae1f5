"""Unpadded Base64. Source: Matrix v1.19 appendices, "Unpadded Base64"."""

from binascii import a2b_base64, b2a_base64

from homeserver.errors import InvalidInput

_TO_URLSAFE = bytes.maketrans(b"+/", b"-_")
_FROM_URLSAFE = str.maketrans("-_", "+/")
_PADDING = ("", "===", "==", "=")
"""What is missing, by the length of the text beyond a multiple of four."""


def encode(data: bytes) -> str:
    """Standard alphabet, no padding."""
    return b2a_base64(data, newline=False).rstrip(b"=").decode()


def encode_urlsafe(data: bytes) -> str:
    """URL-safe alphabet, no padding."""
    return b2a_base64(data, newline=False).translate(_TO_URLSAFE).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Either alphabet, with or without padding, as the appendix asks of decoders.
    Raises InvalidInput.
    """
    try:
        # What is usual: the standard alphabet, with all of its padding or none.
        return a2b_base64(text + _PADDING[len(text) % 4], strict_mode=True)
    except ValueError:
        return _decode_any(text)


def _decode_any(text: str) -> bytes:
    stripped = text.rstrip("=")
    if "-" in stripped or "_" in stripped:
        stripped = stripped.translate(_FROM_URLSAFE)
    try:
        return a2b_base64(stripped + "=" * (-len(stripped) % 4), strict_mode=True)
    except ValueError:
        raise InvalidInput("not Base64") from None
