"""mxc:// URIs. Source: C-S API v1.19 "Matrix Content (mxc://) URIs", "Security considerations"."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from homeserver.errors import InvalidIdentifier, NotFound
from homeserver.events import base64
from homeserver.identifiers import ServerName, native_uuid, parse_server_name
from homeserver.storage.media import mxc_uri

_MEDIA_ID = re.compile(r"[A-Za-z0-9_-]{1,255}", re.ASCII)
_RANDOM_BYTES = 18


@dataclass(frozen=True, slots=True)
class MediaAddress:
    """What an mxc:// URI says."""

    origin: ServerName
    media_id: str

    @property
    def uri(self) -> str:
        return mxc_uri(self.origin, self.media_id)

    @property
    def uuid(self) -> UUID:
        """The native UUID."""
        return native_uuid(self.uri)


def parse_address(origin: str, media_id: str) -> MediaAddress:
    """Raises NotFound: what cannot be an address is nobody's."""
    try:
        server_name = parse_server_name(origin)
    except InvalidIdentifier:
        raise no_such_media() from None
    if not _MEDIA_ID.fullmatch(media_id):
        raise no_such_media()
    return MediaAddress(server_name, media_id)


def new_address(origin: ServerName, random_bytes: Callable[[int], bytes]) -> MediaAddress:
    """One that nobody can guess: who knows it may download what it names."""
    return MediaAddress(origin, base64.encode_urlsafe(random_bytes(_RANDOM_BYTES)))


def no_such_media() -> NotFound:
    return NotFound("There is no such media.", kind="media")
