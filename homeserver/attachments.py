"""Files in messages: as `m.image`, `m.file`, `m.audio`, `m.video` and stickers name them. Pure.

Source: C-S API v1.19 "m.room.message msgtypes", "Media captions"; `xyz.amorgan.blurhash` is what
clients call a blurhash. Content comes from anybody: every field may be of any type.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from homeserver.identifiers import native_uuid

PATH = "/api/attachments"
"""Below it files are, on this server."""
BLURHASH = "xyz.amorgan.blurhash"
UNKNOWN_TYPE = "application/octet-stream"

_URI = re.compile(r"mxc://(?P<origin>[A-Za-z0-9.:\[\]-]{1,255})/(?P<media_id>[A-Za-z0-9_-]{1,255})")
_MSGTYPES = {"image": "m.image", "audio": "m.audio", "video": "m.video"}
_FILE_MSGTYPES = frozenset({"m.image", "m.audio", "m.video", "m.file"})
# What browsers would run scripts of is no picture.
_NOT_SHOWN = frozenset({"image/svg+xml"})
_MAX_SIZE = 2**53


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file of a message. size: bytes, as its sender says."""

    uri: str
    filename: str
    content_type: str
    size: int
    width: int | None = None
    height: int | None = None
    blurhash: str | None = None

    @property
    def uuid(self) -> UUID:
        """The native UUID."""
        return native_uuid(self.uri)

    @property
    def place(self) -> str:
        """`example.org/abc`, of the URI."""
        return self.uri.removeprefix("mxc://")


def path_of(uri: str) -> str | None:
    """Where native clients find what an mxc:// URI names, without a file name; None: it is none."""
    named = _URI.fullmatch(uri)
    return None if named is None else f"{PATH}/{named['origin']}/{named['media_id']}"


def file_in(content: Mapping[str, Any]) -> AttachedFile | None:
    """The file that a message or a sticker is about; None: none, or an encrypted one."""
    uri = content.get("url")
    if not isinstance(uri, str) or not _URI.fullmatch(uri):
        return None
    info = content.get("info")
    info = info if isinstance(info, Mapping) else {}
    return AttachedFile(
        uri=uri,
        filename=_text(content.get("filename")) or _text(content.get("body")) or "",
        content_type=_text(info.get("mimetype")) or UNKNOWN_TYPE,
        size=_number(info.get("size")) or 0,
        width=_number(info.get("w")),
        height=_number(info.get("h")),
        blurhash=_text(info.get(BLURHASH)) or None,
    )


def caption_in(content: Mapping[str, Any]) -> str:
    """What is said about the file: a body that is not just its name ("Media captions")."""
    body, filename = _text(content.get("body")), content.get("filename")
    return body if isinstance(filename, str) and filename != body else ""


def file_content(file: AttachedFile, caption: str) -> dict[str, Any]:
    """Content of the message that shows a file. A caption stands in `body`, the name then in
    `filename` alone.
    """
    info: dict[str, Any] = {"mimetype": file.content_type, "size": file.size}
    if file.width is not None and file.height is not None:
        info |= {"w": file.width, "h": file.height}
    if file.blurhash is not None:
        info[BLURHASH] = file.blurhash
    return {
        "msgtype": _msgtype(file.content_type),
        "body": caption or file.filename,
        "filename": file.filename,
        "url": file.uri,
        "info": info,
    }


def with_caption(content: Mapping[str, Any], caption: str) -> dict[str, Any] | None:
    """The content of a message with a file, with another caption; None: it has no file."""
    if content.get("msgtype") not in _FILE_MSGTYPES or not ("url" in content or "file" in content):
        return None
    filename = _text(content.get("filename")) or _text(content.get("body")) or "file"
    kept = {key: content[key] for key in ("msgtype", "url", "file", "info") if key in content}
    return {**kept, "filename": filename, "body": caption}


def _msgtype(content_type: str) -> str:
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _NOT_SHOWN:
        return "m.file"
    return _MSGTYPES.get(kind.partition("/")[0], "m.file")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_SIZE
    return value if is_count else None
