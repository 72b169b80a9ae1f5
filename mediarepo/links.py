"""What opens one file for one person and a few minutes, in place of an access token.

Browsers take no token along when they are sent to another origin, so whoever sends them there puts
a link into the address: `<user_nid>.<expiry>.<code>`, signed with a key that both processes know.
"""

import hmac
import re

from homeserver.clock import Clock
from homeserver.errors import NotAllowed
from homeserver.events import base64
from mediarepo.addresses import MediaAddress

LIFETIME_S = 600

_LINK = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})\.([A-Za-z0-9_-]{43})", re.ASCII)
_MS = 1_000


class Links:
    """Makes links, and reads them."""

    def __init__(self, *, key: bytes, clock: Clock) -> None:
        self._key = key
        self._clock = clock

    def make(self, address: MediaAddress, user_nid: int) -> str:
        """A link to what an address names, as the value of a query."""
        expires_at_s = self._clock.now_ms() // _MS + LIFETIME_S
        return f"{user_nid}.{expires_at_s}.{self._code(address, user_nid, expires_at_s)}"

    def read(self, address: MediaAddress, link: str) -> int:
        """Whom the link is for: a `user_nid`. Raises NotAllowed.

        It is no failed log-in (401), after which clients would give up their session.
        """
        parts = _LINK.fullmatch(link)
        if parts is None:
            raise NotAllowed("This is no link to a file.")
        user_nid, expires_at_s = int(parts[1]), int(parts[2])
        code = self._code(address, user_nid, expires_at_s)
        if not hmac.compare_digest(code, parts[3]):
            raise NotAllowed("This is no link to the file.")
        if expires_at_s * _MS <= self._clock.now_ms():
            raise NotAllowed("The link has expired: ask the homeserver again.")
        return user_nid

    def _code(self, address: MediaAddress, user_nid: int, expires_at_s: int) -> str:
        said = f"{address.uri} {user_nid} {expires_at_s}".encode()
        return base64.encode_urlsafe(hmac.digest(self._key, said, "sha256"))
