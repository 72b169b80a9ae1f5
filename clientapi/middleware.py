"""What every HTTP request passes: a request ID, a line in the log, metrics, limits by address, and
errors turned into answers.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import cache
from http import HTTPStatus
from itertools import count
from types import MappingProxyType
from typing import Protocol

import structlog
from aiohttp import web

from clientapi.client_addresses import ClientAddresses
from clientapi.cross_origin import CrossOrigin
from clientapi.rate_limits import RateLimits
from homeserver.clock import Clock
from homeserver.errors import InvalidInput
from homeserver.logs import bind_request
from homeserver.metrics import Metrics
from homeserver.requester import Requester

REQUEST_ID = web.RequestKey("request_id", str)
ADDRESS = web.RequestKey("address", str)
"""The client's; absent: unknown."""
REQUESTER = web.RequestKey("requester", Requester)
"""Set by whoever authenticates the request."""
ROUTE = web.RequestKey("route", str)
"""The path with names instead of values, set by façades that find routes by themselves."""
WAITS = web.RequestKey("waits", bool)
"""Set by façades for what may take long because there is nothing to tell yet: no slowness."""

_REQUEST_ID_HEADER = "X-Request-ID"
_USABLE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_NO_ROUTE = "none"
_SLOW_S = 1.0
"""Requests that take longer without being asked to, or fail, are worth a line at the level `info`;
others at `debug`.
"""

_MAX_LOGGED_PATH = 200

# Not among the methods that any server knows, and labels must be few.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_NO_DIALECTS: Mapping[str, "Dialect"] = MappingProxyType({})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger(__name__)


class Dialect(Protocol):
    """How a façade answers what goes wrong before it, or in it, and who may call it from pages."""

    @property
    def cross_origin(self) -> CrossOrigin: ...

    def error_answer(self, error: Exception, request_id: str) -> web.Response:
        """error: anything at all; what is neither FoyerError nor HTTPException is a defect."""


def request_ids(start: str) -> Callable[[], str]:
    """Gives another ID whenever it is called. start: what no other process begins its IDs with.

    A number costs a tenth of drawing lots for each request.
    """
    numbers = count(1)
    return lambda: f"{start}-{next(numbers):x}"


class Gate:
    """The middleware of every route."""

    def __init__(
        self,
        *,
        addresses: ClientAddresses,
        dialect: Dialect,
        rate_limits: RateLimits,
        metrics: Metrics,
        clock: Clock,
        new_request_id: Callable[[], str],
        probes: Collection[str] = (),
        dialects: Mapping[str, Dialect] = _NO_DIALECTS,
    ) -> None:
        """dialect: of all paths but those that begin with a key of `dialects` (`/_matrix`).
        probes: paths that watch the server; never limited, and not worth a line in the log.
        """
        self._addresses = addresses
        self._dialect = dialect
        self._dialects = dialects
        self._rate_limits = rate_limits
        self._clock = clock
        self._new_request_id = new_request_id
        self._probes = frozenset(probes)
        # Routes, methods and statuses are few, and `labels` takes long.
        self._count = cache(
            lambda method, route, status: metrics.http_requests.labels(method, route, str(status))
        )
        self._time = cache(metrics.http_request_seconds.labels)

    def application(self, *, max_body_bytes: int) -> web.Application:
        """An application without routes yet, behind this gate."""
        application = web.Application(
            middlewares=[self.pass_through], client_max_size=max_body_bytes
        )
        application.on_response_prepare.append(self._add_headers)
        return application

    @web.middleware
    async def pass_through(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request, whatever happens."""
        self._identify(request)
        began = self._clock.monotonic()
        with bind_request(request[REQUEST_ID]):
            response = await self._answer(request, handler)
            self._note(request, response, self._clock.monotonic() - began)
        return response

    def _identify(self, request: web.Request) -> None:
        given = request.headers.get(_REQUEST_ID_HEADER)
        usable = given is not None and _USABLE_REQUEST_ID.fullmatch(given)
        request[REQUEST_ID] = given if given and usable else self._new_request_id()
        forwarded_for = request.headers.getall("X-Forwarded-For", [])
        address = self._addresses.of(request.remote, forwarded_for)
        if address is not None:
            request[ADDRESS] = address

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if request.path not in self._probes:
                self._rate_limits.address_request(request.get(ADDRESS))
            return self._preflight(request) or await handler(request)
        except web.HTTPException as error:
            if error.status < HTTPStatus.BAD_REQUEST:
                raise
            return self._error_answer(request, error)
        except web.RequestPayloadError:
            return self._error_answer(request, InvalidInput("The body cannot be read"))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            return self._error_answer(request, error)

    def _preflight(self, request: web.Request) -> web.Response | None:
        """Fetch Standard, "CORS-preflight request"."""
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        cross_origin = self._dialect_of(request).cross_origin
        headers = cross_origin.preflight_headers(request.headers.get("Origin"))
        return None if headers is None else web.Response(status=204, headers=headers)

    def _error_answer(self, request: web.Request, error: Exception) -> web.Response:
        response = self._dialect_of(request).error_answer(error, request[REQUEST_ID])
        if response.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("request failed", exc_info=error)
        return response

    def _dialect_of(self, request: web.Request) -> Dialect:
        path = request.path
        for prefix, dialect in self._dialects.items():
            if path.startswith(prefix):
                return dialect
        return self._dialect

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        if REQUEST_ID in request:
            response.headers[_REQUEST_ID_HEADER] = request[REQUEST_ID]
        response.headers["X-Content-Type-Options"] = "nosniff"
        cross_origin = self._dialect_of(request).cross_origin
        response.headers.update(cross_origin.headers(request.headers.get("Origin")))

    def _note(self, request: web.Request, response: web.StreamResponse, seconds: float) -> None:
        """A line and a measurement. A query may hold a ticket, so it is told to nobody."""
        method = request.method if request.method in _METHODS else "other"
        route = route_of(request)
        self._count(method, route, response.status).inc()
        if not isinstance(response, web.WebSocketResponse):
            self._time(method, route).observe(seconds)
        is_slow = seconds >= _SLOW_S and WAITS not in request
        is_noted = response.status >= HTTPStatus.BAD_REQUEST or is_slow
        level = logging.INFO if is_noted else logging.DEBUG
        if not log.is_enabled_for(level):
            return
        requester = request.get(REQUESTER)
        log.log(
            level,
            "request",
            method=method,
            path=request.path[:_MAX_LOGGED_PATH],
            route=route,
            status=response.status,
            ms=round(seconds * 1000, 1),
            address=request.get(ADDRESS),
            user_id=None if requester is None else requester.user_id,
        )


def route_of(request: web.Request) -> str:
    """The path with names instead of values: `/api/rooms/{room_id}`."""
    if ROUTE in request:
        return request[ROUTE]
    resource = request.match_info.route.resource
    return _NO_ROUTE if resource is None else resource.canonical
