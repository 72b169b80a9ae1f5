"""The documents of the native protocol, and a page that shows them: all from this server.

The page loads nothing from elsewhere and its policy lets it not.
"""

from collections.abc import Awaitable, Callable
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
    """Serve /api/docs. Everything is read and made once, now."""
    router = application.router
    router.add_get("/api/docs", _serving(_asset("index.html"), "text/html"))
    router.add_get("/api/docs/page.js", _serving(_asset("page.js"), "text/javascript"))
    router.add_get("/api/docs/page.css", _serving(_asset("page.css"), "text/css"))
    router.add_get("/api/docs/openapi.json", _serving(json_text(openapi()), "application/json"))
    router.add_get("/api/docs/asyncapi.json", _serving(json_text(asyncapi()), "application/json"))


def _asset(name: str) -> str:
    return (_PAGE / name).read_text(encoding="utf-8")


def _serving(text: str, content_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    body = text.encode()

    async def serve(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=_HEADERS)

    return serve
