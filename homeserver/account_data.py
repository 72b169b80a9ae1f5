"""What may be kept as account data, and how the types that the server knows read. Pure.

Source: C-S API v1.19 "Client Config", "Room Tagging".
"""

from collections.abc import Mapping
from typing import Any

import orjson

from homeserver.errors import ControlledByServer, InvalidInput, NotAllowed, TooLarge
from homeserver.events import canonical_json
from homeserver.identifiers import MAX_IDENTIFIER_BYTES, UserID
from homeserver.requester import Requester

MAX_CONTENT_BYTES = 65_536
SERVER_TYPES = frozenset(("m.fully_read", "m.push_rules"))
"""What other endpoints change."""
TAG = "m.tag"


def require_own(by: Requester, user_id: UserID) -> None:
    """Raises NotAllowed for what belongs to somebody else."""
    if by.user_id != user_id:
        raise NotAllowed("Account data belongs to its user alone.")


def check_type(event_type: str) -> None:
    """Raises ControlledByServer, InvalidInput."""
    if event_type in SERVER_TYPES:
        raise ControlledByServer(f"{event_type} cannot be set as account data.")
    check_name(event_type, field="type")


def check_name(text: str, *, field: str) -> None:
    """Raises InvalidInput for what can be the name of no type and no tag."""
    try:
        is_name = 0 < len(text.encode()) <= MAX_IDENTIFIER_BYTES and "\0" not in text
    except UnicodeEncodeError:
        is_name = False
    if not is_name:
        raise InvalidInput(f"A {field} has 1 to {MAX_IDENTIFIER_BYTES} bytes.", field=field)


def encoded(content: Mapping[str, Any]) -> bytes:
    """Raises TooLarge, InvalidInput."""
    raw = canonical_json.compact(canonical_json.encode(content))
    if len(raw) > MAX_CONTENT_BYTES:
        raise TooLarge(f"Account data of one type has at most {MAX_CONTENT_BYTES} bytes.")
    return raw


def tags_in(content: bytes | None) -> dict[str, Any]:
    """The tags in an `m.tag`, which clients may also have set as any account data."""
    tags = {} if content is None else orjson.loads(content).get("tags")
    if not isinstance(tags, dict):
        return {}
    return {tag: details for tag, details in tags.items() if is_tag(details)}


def is_tag(details: Any) -> bool:
    """`order`: "a number between 0 and 1"."""
    if not isinstance(details, dict):
        return False
    order = details.get("order", 0)
    return isinstance(order, int | float) and not isinstance(order, bool) and 0 <= order <= 1
