"""Serving over HTTP, with errors in JSON also where a request is none that aiohttp can read.

Such a request has no path that could be known, so its answer speaks both protocols.
"""

from http import HTTPStatus

import orjson
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

MAX_LINE_BYTES = 65_536
"""Of a request line: filters and room IDs in queries may be long."""


class Runner(web.AppRunner):
    """An `AppRunner` without pages of aiohttp's own."""

    def __init__(self, application: web.Application, *, shutdown_timeout_s: float) -> None:
        super().__init__(
            application,
            access_log=None,
            shutdown_timeout=shutdown_timeout_s,
            max_line_size=MAX_LINE_BYTES,
        )

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        # There is no argument for the class of connections.
        server.__class__ = _Server
        return server


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """aiohttp's answer, but for its text: closes the connection."""
        page = super().handle_error(request, status, exc, message)
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            code, sentence = "INTERNAL", "The server made a mistake"
        else:
            code, sentence = "INVALID_INPUT", "This is no HTTP request that can be read"
        body = {"errcode": "M_UNKNOWN", "error": sentence, "code": code, "message": sentence}
        answer = web.Response(
            body=orjson.dumps(body),
            status=page.status,
            headers={"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"},
            content_type="application/json",
        )
        answer.force_close()
        return answer
