"""Matrix identifiers as types, and their native UUIDs.

Source: Matrix v1.19 appendices, "Identifier Grammar"; design section 9 for the UUIDs.
"""

import re
from hashlib import sha1
from typing import NewType
from uuid import UUID

from homeserver.errors import InvalidIdentifier

UserID = NewType("UserID", str)
RoomID = NewType("RoomID", str)
EventID = NewType("EventID", str)
RoomAlias = NewType("RoomAlias", str)
ServerName = NewType("ServerName", str)

StateKey = tuple[str, str]
"""An event type and a state key: what names one entry of a room's state."""

MAX_IDENTIFIER_BYTES = 255

# Fixed for ever: every native UUID of every Foyer server derives from it.
NATIVE_NAMESPACE = UUID("6f1d2c1e-8a5b-5c0e-9a53-0f0e7e12c0de")

_SERVER_NAME = re.compile(
    r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,230})(?::[0-9]{1,5})?", re.ASCII
)
_NEW_LOCALPART = re.compile(r"[a-z0-9._=/+-]+", re.ASCII)
_NAMESPACE_BYTES = NATIVE_NAMESPACE.bytes

# RFC 9562, 5.5: four bits say the version, two the variant.
_NOT_FIXED = ~((0xF << 76) | (0x3 << 62))
_VERSION_5 = (0x5 << 76) | (0x2 << 62)


def native_uuid(matrix_id: str) -> UUID:
    """The native UUID of a user, room or event: UUIDv5 of its Matrix ID (RFC 9562, 5.5)."""
    digest = sha1(_NAMESPACE_BYTES + matrix_id.encode(), usedforsecurity=False).digest()
    return UUID(int=int.from_bytes(digest[:16]) & _NOT_FIXED | _VERSION_5)


def parse_server_name(text: str) -> ServerName:
    """A host name, IPv4 or bracketed IPv6 address, with an optional port."""
    if len(text) > MAX_IDENTIFIER_BYTES or not _SERVER_NAME.fullmatch(text):
        raise InvalidIdentifier(f"{text!r} is not a server name")
    return ServerName(text)


def parse_user_id(text: str) -> UserID:
    """Any user ID that rooms may contain; historical localparts are allowed."""
    return UserID(_parse_with_server(text, "@", "user ID"))


def parse_new_user_id(localpart: str, server_name: ServerName) -> UserID:
    """A user ID that this server may create: lower-case grammar only."""
    if not _NEW_LOCALPART.fullmatch(localpart):
        raise InvalidIdentifier(
            f"{localpart!r} is not a localpart: use a-z, 0-9 and the characters . _ = / + -"
        )
    return parse_user_id(f"@{localpart}:{server_name}")


def parse_room_alias(text: str) -> RoomAlias:
    return RoomAlias(_parse_with_server(text, "#", "room alias"))


def parse_room_id(text: str) -> RoomID:
    """A room ID of any room version: room versions before 12 carry a server name."""
    if not text.startswith("!") or text == "!" or not _is_storable(text):
        raise InvalidIdentifier(f"{text!r} is not a room ID")
    return RoomID(text)


def server_of(identifier: str) -> ServerName:
    """The server name of a user ID, alias, or old-style room or event ID; "" without one."""
    return ServerName(identifier.partition(":")[2])


def localpart_of(identifier: str) -> str:
    """What stands between the sigil and the first colon."""
    return identifier[1:].partition(":")[0]


def _is_storable(text: str) -> bool:
    """Postgres text has no NUL, and UTF-8 no lone surrogates."""
    try:
        return len(text.encode()) <= MAX_IDENTIFIER_BYTES and "\0" not in text
    except UnicodeEncodeError:
        return False


def _parse_with_server(text: str, sigil: str, kind: str) -> str:
    _, colon, server = text[1:].partition(":")
    if not text.startswith(sigil) or not colon or not _is_storable(text):
        raise InvalidIdentifier(f"{text!r} is not a {kind}")
    parse_server_name(server)
    return text
