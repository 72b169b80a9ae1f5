"""What people may be called: the checks of names, e-mail addresses, usernames, pictures."""

import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import urlsplit

from homeserver.errors import InvalidIdentifier, InvalidInput, InvalidUsername
from homeserver.identifiers import (
    MAX_IDENTIFIER_BYTES,
    ServerName,
    UserID,
    parse_new_user_id,
)

_MAX_NAME_CHARS = 255
_MAX_EMAIL_CHARS = 255
_MAX_EMAIL_LOCAL_CHARS = 64
_MAX_AVATAR_URL_CHARS = 500
_MAX_DERIVED_CHARS = 64
_DERIVED_DIGITS = 10

# Categories of control characters, surrogates, line and paragraph separators.
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Characters that turn the direction of the text around them: one name could pose as another.
_DIRECTION_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_EMAIL_LOCAL = re.compile(r"[^\s@,;:<>()\[\]\\\"]+")
_EMAIL_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]*[^\W_])?)(?:\.[^\W_](?:[\w-]*[^\W_])?)*")
_NOT_IN_LOCALPART = re.compile(r"[^a-z0-9._=/-]+")


def display_name(text: str) -> str:
    """Trimmed, 1 to 255 characters, none that hides or breaks the text around it."""
    name = text.strip()
    if not 1 <= len(name) <= _MAX_NAME_CHARS:
        raise InvalidInput(f"A name has 1 to {_MAX_NAME_CHARS} characters.", field="name")
    if any(_hides_or_breaks(character) for character in name):
        raise InvalidInput("A name must not have control characters.", field="name")
    return name


def email_address(text: str) -> str:
    """Trimmed. Only what cannot be an address is refused: mail alone can tell more."""
    email = text.strip()
    local, _, domain = email.rpartition("@")
    if (
        len(email) > _MAX_EMAIL_CHARS
        or len(local) > _MAX_EMAIL_LOCAL_CHARS
        or not _EMAIL_LOCAL.fullmatch(local)
        or not _EMAIL_DOMAIN.fullmatch(domain)
        or any(_hides_or_breaks(character) for character in email)
    ):
        raise InvalidInput("This is not an e-mail address.", field="email")
    return email


def avatar_url(text: str) -> str | None:
    """An http, https or mxc address of at most 500 characters; None for the empty text."""
    url = text.strip()
    if not url:
        return None
    if (
        len(url) > _MAX_AVATAR_URL_CHARS
        or not _is_web_or_mxc(url)
        or any(c.isspace() or _hides_or_breaks(c) for c in url)
    ):
        raise InvalidInput(
            "The address of a picture begins with http://, https:// or mxc:// and has at most "
            f"{_MAX_AVATAR_URL_CHARS} characters.",
            field="avatar_url",
        )
    return url


def chosen_user_id(username: str, server_name: ServerName) -> UserID:
    """The user ID of a username that somebody chose. Upper case counts as lower case."""
    try:
        return parse_new_user_id(username.strip().lower(), server_name)
    except InvalidIdentifier as error:
        raise InvalidUsername(
            "A username has letters a-z, digits and the characters . _ = / + - only, and is not "
            "longer than a user ID may be.",
            field="username",
        ) from error


def derived_user_ids(email: str, server_name: ServerName) -> Iterator[UserID]:
    """User IDs for somebody who chose none, from the e-mail address: alice, alice2, alice3, …"""
    local = unicodedata.normalize("NFKD", email.rpartition("@")[0]).casefold()
    plain = "".join(c for c in local if not unicodedata.combining(c))
    room = MAX_IDENTIFIER_BYTES - len(f"@:{server_name}") - _DERIVED_DIGITS
    base = _NOT_IN_LOCALPART.sub("-", plain).strip("-._=/")[: min(room, _MAX_DERIVED_CHARS)]
    base = base or "user"
    yield parse_new_user_id(base, server_name)
    number = 2
    while True:
        yield parse_new_user_id(f"{base}{number}", server_name)
        number += 1


def _is_web_or_mxc(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # for instance brackets without an IPv6 address
        return False
    return parts.scheme in {"http", "https", "mxc"} and bool(parts.netloc)


def _hides_or_breaks(character: str) -> bool:
    return (
        unicodedata.category(character) in _FORBIDDEN_CATEGORIES
        or character in _DIRECTION_OVERRIDES
    )
