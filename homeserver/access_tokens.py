"""Access tokens: signed claims about who logged in where, readable without the database.

JSON Web Tokens (RFC 7519) signed with HS256. A token is good while it has not expired *and* its
session exists; only the first can be seen here. A client that cannot refresh gets one that does not
expire: its session alone decides.
"""

from dataclasses import dataclass
from uuid import UUID

import jwt

from homeserver.clock import Clock
from homeserver.errors import NotAuthenticated, TokenExpired
from homeserver.identifiers import ServerName

_ALGORITHM = "HS256"
_REQUIRED_CLAIMS = ["sub", "sid", "iat", "iss"]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says. `sub` is the user's UUID, `sid` the session's.

    expires_at_ms None: it does not expire. generation: how often the session's tokens had been
    replaced when this one was issued.
    """

    user_uuid: UUID
    session_uuid: UUID
    expires_at_ms: int | None
    generation: int = 0


class AccessTokens:
    """Issues and reads the tokens of one server."""

    def __init__(
        self, *, secret: bytes, server_name: ServerName, lifetime_s: int, clock: Clock
    ) -> None:
        self._secret = secret
        self._server_name = server_name
        self._lifetime_s = lifetime_s
        self._clock = clock

    def issue(self, claims: Claims) -> str:
        """Expiry is rounded down to seconds: RFC 7519 "NumericDate"."""
        payload: dict[str, str | int] = {
            "iss": self._server_name,
            "sub": str(claims.user_uuid),
            "sid": str(claims.session_uuid),
            "iat": self._clock.now_ms() // 1000,
        }
        if claims.expires_at_ms is not None:
            payload["exp"] = claims.expires_at_ms // 1000
        if claims.generation:
            payload["gen"] = claims.generation
        return jwt.encode(payload, self._secret, algorithm=_ALGORITHM)

    def expiry_ms(self, lifetime_s: int | None = None) -> int:
        """When a token that is issued now ends, to the second."""
        lifetime = self._lifetime_s if lifetime_s is None else lifetime_s
        return (self._clock.now_ms() // 1000 + lifetime) * 1000

    def read(self, token: str) -> Claims:
        """What a token says, if this server signed it and it has not expired.
        Raises NotAuthenticated, TokenExpired.
        """
        claims = self._verified(token)
        ends = claims.expires_at_ms
        if ends is not None and ends <= self._clock.now_ms():
            raise TokenExpired("The access token has expired.")
        return claims

    def _verified(self, token: str) -> Claims:
        try:
            payload = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                issuer=self._server_name,
                # Times are judged by our clock.
                options={
                    "require": _REQUIRED_CLAIMS,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            return Claims(
                user_uuid=UUID(payload["sub"]),
                session_uuid=UUID(payload["sid"]),
                expires_at_ms=int(payload["exp"]) * 1000 if "exp" in payload else None,
                generation=int(payload.get("gen", 0)),
            )
        except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError, OverflowError):
            raise NotAuthenticated("The access token is not valid.") from None
