"""How the Matrix façade answers what goes wrong before an endpoint is found."""

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from aiohttp import web

from clientapi.cross_origin import CrossOrigin
from clientapi.matrix.errors import MatrixError, matrix_error, unrecognized

PREFIXES = ("/_matrix", "/.well-known/matrix", "/_synapse")

# C-S API v1.19 "Web browser clients".
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization",
    "Access-Control-Max-Age": "86400",
}


class _AnyOrigin(CrossOrigin):
    """Pages of every origin may call; every answer says so, whoever asks."""

    def __init__(self) -> None:
        super().__init__(origins=("*",), preflight=_PREFLIGHT)

    def headers(self, origin: str | None) -> Mapping[str, str]:
        return super().headers(origin or "*")


class MatrixDialect:
    """A `clientapi.middleware.Dialect`."""

    def __init__(self) -> None:
        self.cross_origin: CrossOrigin = _AnyOrigin()

    def error_answer(self, error: Exception, request_id: str) -> web.Response:
        if isinstance(error, web.HTTPException):
            return answer(_routing_error(error))
        return answer(matrix_error(error, request_id=request_id))


def preflight() -> web.Response:
    """C-S API v1.19 "Web browser clients": OPTIONS is answered everywhere, for every origin."""
    return web.Response(status=204, headers=_PREFLIGHT)


def answer(error: MatrixError) -> web.Response:
    return web.Response(
        body=orjson.dumps(error.body()),
        status=error.status,
        headers={**error.headers(), "Cache-Control": "no-store"},
        content_type="application/json",
    )


def _routing_error(error: web.HTTPException) -> MatrixError:
    """For what aiohttp itself refuses."""
    match error:
        case web.HTTPNotFound():
            return unrecognized(frozenset())
        case web.HTTPMethodNotAllowed():
            return unrecognized(frozenset(error.allowed_methods))
        case web.HTTPRequestEntityTooLarge():
            return MatrixError(413, "M_TOO_LARGE", "The body is too large.")
        case _ if error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return MatrixError(error.status, "M_UNKNOWN", error.reason)
        case _:
            return MatrixError(500, "M_UNKNOWN", error.reason)
