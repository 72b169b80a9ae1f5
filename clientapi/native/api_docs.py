"""The documents of the native protocol, and a page that shows them: all from this server.

The page loads nothing from elsewhere and its policy lets it not.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache, partial
from importlib.resources import files

from aiohttp import web

from schema.documents import json_text
from schema.documents.asyncapi import asyncapi
from schema.documents.openapi import openapi

_PAGE = files("clientapi.native") / "docs_page"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
}


def add_docs(application: web.Application) -> None:
    """Serve /api/docs. Everything is made once, when somebody first asks for it."""
    router = application.router
    for path, make, content_type in (
        ("/api/docs", partial(_asset, "index.html"), "text/html"),
        ("/api/docs/page.js", partial(_asset, "page.js"), "text/javascript"),
        ("/api/docs/page.css", partial(_asset, "page.css"), "text/css"),
        ("/api/docs/openapi.json", _openapi, "application/json"),
        ("/api/docs/asyncapi.json", _asyncapi, "application/json"),
    ):
        router.add_get(path, _serving(make, content_type))


@cache
def _asset(name: str) -> bytes:
    return (_PAGE / name).read_bytes()


@cache
def _openapi() -> bytes:
    return json_text(openapi()).encode()


@cache
def _asyncapi() -> bytes:
    return json_text(asyncapi()).encode()


def _serving(
    make: Callable[[], bytes], content_type: str
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """make: takes up to half a second the first time."""

    async def serve(_request: web.Request) -> web.Response:
        body = await asyncio.to_thread(make)
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=_HEADERS)

    return serve
