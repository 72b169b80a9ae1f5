"""How the native façade answers errors: bodies of `schema.wire.errors`."""

from collections.abc import Iterable
from http import HTTPStatus

import orjson
from aiohttp import web

from clientapi.cross_origin import CrossOrigin
from clientapi.errors import Problem, problem_of
from schema.wire.errors import ErrorCode


class NativeDialect:
    """A `clientapi.middleware.Dialect`."""

    def __init__(self, *, cors_origins: Iterable[str]) -> None:
        self.cross_origin = CrossOrigin(origins=cors_origins)

    def error_answer(self, error: Exception, request_id: str) -> web.Response:
        if isinstance(error, web.HTTPException):
            return _routing_answer(error)
        return answer(problem_of(error, request_id=request_id))


def answer(problem: Problem, *, status: int | None = None) -> web.Response:
    """An error as a REST answer. status: where it is not that of the code."""
    return web.Response(
        body=orjson.dumps(problem.body()),
        status=status or problem.status,
        headers={**problem.headers(), "Cache-Control": "no-store"},
        content_type="application/json",
    )


def _routing_answer(error: web.HTTPException) -> web.Response:
    """For what aiohttp itself refuses: unknown paths and methods, bodies over the limit."""
    response = answer(_routing_problem(error), status=error.status)
    if isinstance(error, web.HTTPMethodNotAllowed):
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
    return response


def _routing_problem(error: web.HTTPException) -> Problem:
    match error:
        case web.HTTPNotFound():
            return Problem(code=ErrorCode.NOT_FOUND, message="There is nothing at this path")
        case web.HTTPMethodNotAllowed():
            sentence = f"This path has no {error.method[:16]}; see the header Allow"
            return Problem(code=ErrorCode.METHOD_NOT_ALLOWED, message=sentence)
        case web.HTTPRequestEntityTooLarge():
            return Problem(code=ErrorCode.TOO_LARGE, message="The body is too large")
        case _ if error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return Problem(code=ErrorCode.INVALID_INPUT, message=error.reason)
        case _:
            return Problem(code=ErrorCode.INTERNAL, message=error.reason)
