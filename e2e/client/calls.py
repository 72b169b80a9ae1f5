"""JSON over HTTP: waiting where a server asks to, and trying again what failed by its fault."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp

from e2e.client.server import ServerRefused, Unreachable, may_pass

TIMEOUT_S = 60.0
MAX_TRIES = 6
MAX_WAIT_S = 60.0
_FIRST_WAIT_S = 0.5
_MIN_ERROR = 400
_PIECE = 65_536

Refusal = Callable[[int, Mapping[str, Any]], ServerRefused]
"""The error of a status and a body."""


class Calls:
    """http: closed by whoever made it. url: without a path. token: may change."""

    def __init__(
        self, url: str, *, http: aiohttp.ClientSession, token: str | None, refusal: Refusal
    ) -> None:
        self.url = url.rstrip("/")
        self.http = http
        self.token = token
        self._refusal = refusal

    async def json(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        """The answer's JSON; None for an answer without a body. Each request of ours can be sent
        twice. Raises ServerRefused, Unreachable.
        """
        wait_s = _FIRST_WAIT_S
        for left in range(MAX_TRIES - 1, -1, -1):
            try:
                return await self._once(method, path, body, query, timeout_s)
            except ServerRefused as error:
                if not left or not may_pass(error):
                    raise
                asked = error.body.get("retry_after_ms")
                wait_s = asked / 1000 if isinstance(asked, int) else wait_s
            except Unreachable:
                if not left:
                    raise
            await asyncio.sleep(min(wait_s, MAX_WAIT_S))
            wait_s *= 2
        raise AssertionError("unreachable")

    async def upload(
        self, path: str, pieces: AsyncIterator[bytes], *, content_type: str, size: int
    ) -> Any:
        """A body in pieces, sent once. Raises ServerRefused, Unreachable."""
        headers = self.headers({"Content-Type": content_type, "Content-Length": str(size)})
        async with (
            _reaching(),
            self.http.post(f"{self.url}{path}", data=pieces, headers=headers) as response,
        ):
            return await self._answer(response)

    async def download(self, path: str) -> AsyncIterator[bytes]:
        """Raises ServerRefused, Unreachable."""
        async with (
            _reaching(),
            self.http.get(f"{self.url}{path}", headers=self.headers({})) as response,
        ):
            if response.status >= _MIN_ERROR:
                await self._answer(response)
            async for piece in response.content.iter_chunked(_PIECE):
                yield piece

    def headers(self, more: Mapping[str, str]) -> dict[str, str]:
        if self.token is None:
            return dict(more)
        return {**more, "Authorization": f"Bearer {self.token}"}

    async def _once(
        self,
        method: str,
        path: str,
        body: Any,
        query: Mapping[str, str] | None,
        timeout_s: float,
    ) -> Any:
        async with (
            _reaching(),
            self.http.request(
                method,
                f"{self.url}{path}",
                json=body,
                params=query,
                headers=self.headers({}),
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response,
        ):
            return await self._answer(response)

    async def _answer(self, response: aiohttp.ClientResponse) -> Any:
        try:
            body = await response.json(content_type=None)
        except ValueError:
            raise _not_ours(response) from None
        if response.status < _MIN_ERROR:
            return body
        if not isinstance(body, dict):
            raise _not_ours(response)
        raise self._refusal(response.status, body)


def url_path(*parts: str) -> str:
    return "/".join(quote(part, safe="") for part in parts)


@asynccontextmanager
async def _reaching() -> AsyncIterator[None]:
    try:
        yield
    except (aiohttp.ClientError, TimeoutError) as error:
        reason = f"the homeserver did not answer: {error or type(error).__name__}"
        raise Unreachable(reason) from None


def _not_ours(response: aiohttp.ClientResponse) -> Unreachable:
    return Unreachable(f"the homeserver's answer is not of its protocol ({response.status})")
