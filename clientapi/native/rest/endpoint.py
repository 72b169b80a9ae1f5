"""From an HTTP request to a call, and from what came of it to an answer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from clientapi.authentication import Authenticator
from clientapi.errors import input_error
from clientapi.middleware import ADDRESS, REQUESTER
from clientapi.native.bearer import bearer_token
from clientapi.rate_limits import RateLimits
from homeserver.actions.tokens import Client
from homeserver.requester import Requester
from homeserver.values import value
from schema.operations import Operation
from schema.wire.base import Query, Request
from schema.wire.requests import NoBody, NoQuery

P = TypeVar("P", bound=Query)
Q = TypeVar("Q", bound=Query)
B = TypeVar("B", bound=Request)
M = TypeVar("M", bound=BaseModel)

Json = dict[str, Any] | list[dict[str, Any]] | None
"""The body of an answer, as orjson writes it; None: no body."""


@dataclass(frozen=True, slots=True)
class Existing:
    """The answer to a request to make what was there already: status 200 instead of 201."""

    body: Json


@value
class Call(Generic[P, Q, B]):
    """A request that was understood. `client`: the program that asks, and from where."""

    path: P
    query: Q
    body: B
    client: Client


class Endpoint(Protocol):
    """An operation and what carries it out."""

    @property
    def operation(self) -> Operation[Any, Any, Any]: ...

    async def handle(self, request: web.Request, callers: "Callers") -> web.Response:
        """Raises FoyerError."""


class Callers:
    """Finds out who asks, and whether he may ask for more."""

    def __init__(self, *, authenticator: Authenticator, rate_limits: RateLimits) -> None:
        self._authenticator = authenticator
        self._rate_limits = rate_limits

    async def requester(self, request: web.Request) -> Requester:
        """Raises NotAuthenticated, LimitExceeded, Unavailable."""
        token = bearer_token(request.headers.get("Authorization"))
        by = await self._authenticator.authenticate(token, address=request.get(ADDRESS))
        request[REQUESTER] = by
        self._rate_limits.request(by.user_nid)
        return by


@dataclass(slots=True)
class Private(Generic[P, Q, B]):
    """An operation for those with an access token."""

    operation: Operation[P, Q, B]
    run: Callable[[Call[P, Q, B], Requester], Awaitable[Json | Existing]]
    status: int = field(init=False)
    """Of success, as a rule."""

    def __post_init__(self) -> None:
        self.status = self.operation.status

    async def handle(self, request: web.Request, callers: Callers) -> web.Response:
        by = await callers.requester(request)
        call = await understand(self.operation, request)
        return respond(self.status, await self.run(call, by))


@dataclass(slots=True)
class Public(Generic[P, Q, B]):
    """An operation for everybody."""

    operation: Operation[P, Q, B]
    run: Callable[[Call[P, Q, B]], Awaitable[Json]]
    status: int = field(init=False)
    """Of success, as a rule."""

    def __post_init__(self) -> None:
        self.status = self.operation.status

    async def handle(self, request: web.Request, callers: Callers) -> web.Response:  # noqa: ARG002
        call = await understand(self.operation, request)
        return respond(self.status, await self.run(call))


def serve(application: web.Application, endpoint: Endpoint, callers: Callers) -> None:
    """Add the route of an endpoint; whoever may GET may HEAD."""

    async def handle(request: web.Request) -> web.Response:
        return await endpoint.handle(request, callers)

    operation = endpoint.operation
    application.router.add_route(operation.method, operation.path, handle)
    if operation.method == "GET":
        application.router.add_route("HEAD", operation.path, handle)


async def understand(operation: Operation[P, Q, B], request: web.Request) -> Call[P, Q, B]:
    """Raises InvalidInput; NotFound for an identifier that cannot be one; TooLarge."""
    return Call(
        path=_parameters(operation.params, dict(request.match_info), "path"),
        query=_query(operation.query, request),
        body=await _body(operation.body, request),
        client=_client(request),
    )


def respond(status: int, result: Json | Existing) -> web.Response:
    """The answer. What it says is for one person and one moment, so nothing may keep it."""
    if isinstance(result, Existing):
        return respond(200, result.body)
    if result is None:
        return web.Response(status=status)
    return web.Response(
        body=orjson.dumps(result),
        status=status,
        headers={"Cache-Control": "no-store"},
        content_type="application/json",
    )


def _parameters(model: type[M], given: dict[str, str], what: str) -> M:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise input_error(error, what=what) from None


def _query(model: type[Q], request: web.Request) -> Q:
    """What a route that takes no parameters is given is not looked at, unless there is some."""
    if model is NoQuery and not request.query_string:
        return model()
    return _parameters(model, dict(request.query) if request.query_string else {}, "query")


async def _body(model: type[B], request: web.Request) -> B:
    """Whatever the Content-Type says, a body is JSON. One without required fields may be empty."""
    if model is NoBody:
        return model()
    raw = await request.read()
    try:
        if not raw and not any(field.is_required() for field in model.model_fields.values()):
            return model()
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise input_error(error) from None


def _client(request: web.Request) -> Client:
    user_agent = request.headers.get("User-Agent", "")
    return Client(address=request.get(ADDRESS), user_agent=user_agent)
