"""What clients may put into events of any type."""

from collections.abc import Mapping
from typing import Any

from homeserver.actions.room_settings import DELETED_TYPE
from homeserver.errors import InvalidContent, InvalidInput, NotAllowed
from homeserver.events import canonical_json
from homeserver.events.format import check_key


def check_content(content: Mapping[str, Any]) -> None:
    """Canonical JSON, also in old rooms. Raises InvalidContent."""
    try:
        canonical_json.check_strict(content)
    except InvalidInput as error:
        where = f" ({error.field})" if error.field else ""
        raise InvalidContent(f"{error}{where}", field=error.field) from None


def check_state_key(event_type: str, state_key: str) -> None:
    """What state a client may set. Native clients take some for what only this server may say.

    Raises NotAllowed, TooLarge, InvalidInput.
    """
    check_key(event_type, "type")
    check_key(state_key, "state_key")
    if event_type == DELETED_TYPE:
        raise NotAllowed(f"Only the server itself sends {DELETED_TYPE}.")
