"""User IDs as the rules judge them: a yes or a no, never an error."""

from homeserver.errors import InvalidIdentifier
from homeserver.identifiers import parse_user_id


def is_user_id(value: object) -> bool:
    """Whether `value` is a string that may be a `sender`; historical user IDs are."""
    if not isinstance(value, str):
        return False
    try:
        parse_user_id(value)
    except InvalidIdentifier:
        return False
    return True
