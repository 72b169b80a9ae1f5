"""What is said about a file when it is served. Pure.

Source: C-S API v1.19 "Content repository", "Serving inline content"; RFC 6266, RFC 8187, RFC 9110.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote

UNKNOWN_TYPE = "application/octet-stream"

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 - RFC 9110, 5.6.2: the grammar's word
_MEDIA_TYPE = re.compile(
    rf"{_TOKEN}/{_TOKEN}(?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|\"[\x20-\x21\x23-\x5b\x5d-\x7e]*\"))*",
    re.ASCII,
)
_MAX_TYPE_CHARS = 255
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$&+.^_`|~-]+", re.ASCII)

# C-S API v1.19 "Serving inline content".
_INLINE = frozenset(
    {
        "text/css",
        "text/plain",
        "text/csv",
        "application/json",
        "application/ld+json",
        "image/jpeg",
        "image/gif",
        "image/png",
        "image/apng",
        "image/webp",
        "image/avif",
        "video/mp4",
        "video/webm",
        "video/ogg",
        "video/quicktime",
        "audio/mp4",
        "audio/webm",
        "audio/aac",
        "audio/mpeg",
        "audio/ogg",
        "audio/wave",
        "audio/wav",
        "audio/x-wav",
        "audio/x-pn-wav",
        "audio/flac",
        "audio/x-flac",
    }
)

SAFE: Mapping[str, str] = MappingProxyType(
    {
        # C-S API v1.19 "Content repository": the recommended policy.
        "Content-Security-Policy": (
            "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; "
            "style-src 'unsafe-inline'; object-src 'self';"
        ),
        "Cross-Origin-Resource-Policy": "cross-origin",
        "X-Content-Type-Options": "nosniff",
    }
)
"""Headers of everything that strangers may have made."""


def clean_type(given: str | None) -> str:
    """A Content-Type that can be repeated as it is; what is none becomes a mere file."""
    if given is None or len(given) > _MAX_TYPE_CHARS or not _MEDIA_TYPE.fullmatch(given):
        return UNKNOWN_TYPE
    return given


def kind_of(content_type: str) -> str:
    """Without parameters, in lower case: `text/plain`."""
    return content_type.partition(";")[0].strip().lower()


def disposition(content_type: str, filename: str | None) -> str:
    """A Content-Disposition: `inline` only for what browsers run no scripts of."""
    how = "inline" if kind_of(content_type) in _INLINE else "attachment"
    if not filename:
        return how
    if _PLAIN_NAME.fullmatch(filename):
        return f"{how}; filename={filename}"
    return f"{how}; filename*=utf-8''{quote(filename.encode('utf-8', 'replace'), safe='')}"
