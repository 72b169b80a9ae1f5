"""Sites on the loopback that answer what a test wants, over real sockets.

async with Site() as site:
    site.page("/a", "<title>A</title>")
    site.url("/a")        # http://127.0.0.1:…/a
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """A web server. asked: paths of all requests, in their order."""

    def __init__(self) -> None:
        self._answers: dict[str, Answer] = {}
        self.asked: list[web.Request] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()

    @property
    def paths(self) -> list[str]:
        """What was asked for."""
        return [request.path for request in self.asked]

    def url(self, path: str = "/", *, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def page(self, path: str, body: str | bytes, content_type: str = "text/html", **more: Any):
        """more: headers, with _ for -."""
        data = body.encode() if isinstance(body, str) else body
        headers = {name.replace("_", "-"): value for name, value in more.items()}

        async def answer(_: web.Request) -> web.Response:
            return web.Response(body=data, headers={"Content-Type": content_type, **headers})

        self._answers[path] = answer

    def redirect(self, path: str, location: str, status: int = 302) -> None:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Location": location})

        self._answers[path] = answer

    def stream(self, path: str, chunks: Callable[[], AsyncIterator[bytes]], **headers: str) -> None:
        """An answer that comes in pieces, perhaps without end."""

        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(
                headers={"Content-Type": "text/html"}
                | {name.replace("_", "-"): value for name, value in headers.items()}
            )
            await response.prepare(request)
            try:
                async for chunk in chunks():
                    await response.write(chunk)
            except ConnectionError:
                return response
            return response

        self._answers[path] = answer

    def silence(self, path: str) -> asyncio.Event:
        """No answer at all; the event is set when somebody waits for one."""
        waits = asyncio.Event()

        async def answer(_: web.Request) -> web.Response:
            waits.set()
            await asyncio.Event().wait()
            raise web.HTTPNotFound

        self._answers[path] = answer
        return waits

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        answer = self._answers.get(request.path)
        return web.Response(status=404) if answer is None else await answer(request)
