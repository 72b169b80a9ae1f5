"""Which pages of other origins may call this server from a browser.

Source: Fetch Standard, "HTTP extensions": "CORS protocol". Tokens travel in a header, never in
cookies, so no request needs credentials.
"""

from collections.abc import Iterable, Mapping

_ANY = "*"
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, X-Request-ID",
    "Access-Control-Max-Age": "86400",
}
_EXPOSED = "Allow, Retry-After, WWW-Authenticate, X-Request-ID"


class CrossOrigin:
    """The origins that are allowed; `*` allows every one."""

    def __init__(
        self, *, origins: Iterable[str], preflight: Mapping[str, str] = _PREFLIGHT
    ) -> None:
        self._origins = frozenset(origins)
        self._preflight = preflight
        self._allowing_any = self._allowing(_ANY)

    def headers(self, origin: str | None) -> Mapping[str, str]:
        """What every answer carries. origin: of the page that asks, if the browser says one."""
        if _ANY in self._origins:
            return self._allowing_any if origin is not None else {}
        if not self._origins:
            return {}
        # A cache must not show one origin the answer to another.
        vary = {"Vary": "Origin"}
        allowed = origin is not None and origin in self._origins
        return {**vary, **self._allowing(origin)} if allowed and origin else vary

    def preflight_headers(self, origin: str | None) -> Mapping[str, str] | None:
        """What answers a preflight besides `headers`; None: pages of that origin may not ask."""
        allowed = "Access-Control-Allow-Origin" in self.headers(origin)
        return self._preflight if allowed else None

    def _allowing(self, origin: str) -> dict[str, str]:
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": _EXPOSED,
        }
