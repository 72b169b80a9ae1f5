"""The access token of a request."""

from homeserver.errors import NotAuthenticated


def bearer_token(authorization: str | None) -> str:
    """The token in an Authorization header.

    Source: RFC 6750, 2.1; RFC 9110, 11.1: the scheme may be written in any case.
    Raises NotAuthenticated.
    """
    scheme, _, token = (authorization or "").strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise NotAuthenticated("An access token is missing: send it as Authorization: Bearer")
    return token
