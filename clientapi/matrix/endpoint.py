"""What an endpoint of the Matrix API is, and how a request becomes a call of it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, Generic, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from clientapi.authentication import Asserted, Authenticator
from clientapi.matrix.errors import (
    MatrixError,
    bad_json,
    body_error,
    not_json,
    query_error,
)
from clientapi.middleware import ADDRESS, REQUESTER, WAITS
from clientapi.rate_limits import RateLimits
from homeserver.actions.tokens import Client
from homeserver.errors import InvalidIdentifier, InvalidInput, MissingToken
from homeserver.events import canonical_json
from homeserver.identifiers import (
    EventID,
    RoomAlias,
    RoomID,
    UserID,
    parse_room_alias,
    parse_room_id,
    parse_user_id,
)
from homeserver.requester import Requester
from homeserver.values import value

Json = dict[str, Any]
"""The body of an answer, as orjson writes it."""


class Body(BaseModel):
    """What a client sends. Fields that it does not know are ignored; types are not converted."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)


class Query(BaseModel):
    """Parameters of a query string: text that is converted."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, populate_by_name=True
    )


class NoBody(Body):
    """For endpoints that look at no body."""


class NoQuery(Query):
    """For endpoints that look at no parameters."""


class Content(Body):
    """A body that is any JSON object, kept as it is."""

    content: dict[str, Any]


class Auth(Enum):
    """Who may call an endpoint."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    NONE = "none"


B = TypeVar("B", bound=Body)
Q = TypeVar("Q", bound=Query)


@value
class Reply:
    """An answer that is not a plain 200 with an object. body: JSON that is ready, or an object."""

    body: bytes | Json
    status: int = 200
    headers: Mapping[str, str] | None = None
    content_type: str = "application/json"


@value
class Call(Generic[Q, B]):
    """A request that was understood. `parameters`: of the path, decoded. `token`: the access token
    that came with it, if one did, for endpoints that find out by themselves who asks.

    The properties read them as identifiers; they raise M_INVALID_PARAM.
    """

    parameters: Mapping[str, str]
    query: Q
    body: B
    client: Client
    token: str | None = None

    @property
    def room_id(self) -> RoomID:
        return parse_room_id(self.parameters["roomId"])

    @property
    def user_id(self) -> UserID:
        return parse_user_id(self.parameters["userId"])

    @property
    def room_alias(self) -> RoomAlias:
        return parse_room_alias(self.parameters["roomAlias"])

    @property
    def event_id(self) -> EventID:
        return parse_event_id(self.parameters["eventId"])


def parse_event_id(text: str) -> EventID:
    """An event ID of any room version."""
    if not text.startswith("$") or len(text.encode("utf-8", "replace")) > 255 or "\0" in text:  # noqa: PLR2004
        raise InvalidIdentifier(f"{text!r} is not an event ID")
    return EventID(text)


Private = Callable[[Call[Any, Any], Requester], Awaitable[Json | Reply]]
Public = Callable[[Call[Any, Any]], Awaitable[Json | Reply]]
Open = Callable[[Call[Any, Any], Requester | None], Awaitable[Json | Reply]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An endpoint: `run` is named by the operation ID of the specification, in snake case.

    path: below `/_matrix/client/` unless it begins with a slash. Version r0 is served as v3.
    unstable: further paths of the same endpoint, from before it was in the specification.
    guests: whether guests may call it. even_locked: whether those may whose accounts are locked.
    limited: whether the caller's requests are counted; an
    endpoint that waits by itself, like sync, counts for itself.
    waits: whether an answer may take long because there is nothing to tell yet.
    streams: whether `run` gets the request too, at the end, to read and answer it bit by bit.
    """

    method: str
    path: str
    run: Callable[..., Awaitable[Json | Reply | web.StreamResponse]]
    query: type[Query] = NoQuery
    body: type[Body] = NoBody
    auth: Auth = Auth.REQUIRED
    guests: bool = False
    even_locked: bool = False
    limited: bool = True
    waits: bool = False
    streams: bool = False
    unstable: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """All absolute paths."""
        found = [_absolute(path) for path in (self.path, *self.unstable)]
        if self.path.startswith("v3/"):
            found.append(_absolute("r0/" + self.path[3:]))
        return tuple(found)


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/_matrix/client/{path}"


class Callers:
    """Finds out who asks, and whether he may ask for more."""

    def __init__(self, *, authenticator: Authenticator, rate_limits: RateLimits) -> None:
        self._authenticator = authenticator
        self._rate_limits = rate_limits

    async def requester(self, request: web.Request, route: Route) -> Requester:
        """Raises NotAuthenticated, LimitExceeded, Unavailable; M_GUEST_ACCESS_FORBIDDEN."""
        token = access_token(request)
        by = await self._authenticator.authenticate(
            token,
            address=request.get(ADDRESS),
            asserted=_asserted(request),
            even_locked=route.even_locked,
        )
        request[REQUESTER] = by
        if by.is_guest and not route.guests:
            raise MatrixError(
                403, "M_GUEST_ACCESS_FORBIDDEN", "Guests cannot do this: register an account."
            )
        if not by.is_limited:
            self._rate_limits.exempt(by.user_nid)
        elif route.limited:
            self._rate_limits.request(by.user_nid)
        return by


def _asserted(request: web.Request) -> Asserted:
    """Application Service API v1.19 "Identity assertion"."""
    if not request.query_string:
        return Asserted()
    query = request.query
    return Asserted(
        user_id=query.get("user_id"),
        device_id=query.get("device_id", query.get("org.matrix.msc3202.device_id")),
    )


def access_token(request: web.Request) -> str:
    """C-S API v1.19 "Using access tokens": in a header, or (deprecated) in the query string."""
    token = _given_token(request)
    if token is None:
        raise MissingToken("An access token is missing: send it as Authorization: Bearer.")
    return token


def _given_token(request: web.Request) -> str | None:
    header = request.headers.get("Authorization")
    if header is not None:
        scheme, _, token = header.strip().partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
    return request.query.get("access_token") or None if request.query_string else None


async def answer(
    route: Route, parameters: Mapping[str, str], request: web.Request, callers: Callers
) -> web.StreamResponse:
    """Carries out a request. Raises FoyerError, MatrixError."""
    if route.waits:
        request[WAITS] = True
    stream = (request,) if route.streams else ()
    if route.auth is Auth.NONE:
        return respond(await route.run(await _understand(route, parameters, request), *stream))
    by = await _requester(route, request, callers)
    return respond(await route.run(await _understand(route, parameters, request), by, *stream))


async def _requester(route: Route, request: web.Request, callers: Callers) -> Requester | None:
    try:
        return await callers.requester(request, route)
    except MissingToken:
        if route.auth is Auth.OPTIONAL:
            return None
        raise


async def _understand(
    route: Route, parameters: Mapping[str, str], request: web.Request
) -> Call[Any, Any]:
    return Call(
        parameters=parameters,
        query=_query(route.query, request),
        body=await _body(route.body, request),
        client=Client(
            address=request.get(ADDRESS), user_agent=request.headers.get("User-Agent", "")
        ),
        token=_given_token(request),
    )


@cache
def _lists(model: type[Query]) -> frozenset[str]:
    """Names of the parameters that may be given several times."""
    return frozenset(
        field.alias or name
        for name, field in model.model_fields.items()
        if "list" in str(field.annotation)
    )


def _query(model: type[Q], request: web.Request) -> Q:
    """A parameter that a model has as a list may be given several times."""
    if not request.query_string:
        given: dict[str, Any] = {}
    else:
        lists = _lists(model)
        given = {
            key: request.query.getall(key) if key in lists else request.query[key]
            for key in request.query
        }
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise query_error(error) from None


async def _body(model: type[B], request: web.Request) -> B:
    """Whatever the Content-Type says, a body is JSON. One without required fields may be empty."""
    if model is NoBody:
        return model()
    raw = await request.read()
    if model is Content:
        return model.model_validate({"content": json_object(raw)})
    if not raw and not any(field.is_required() for field in model.model_fields.values()):
        return model()
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise body_error(error) from None


def json_object(raw: bytes) -> dict[str, Any]:
    """Raises M_NOT_JSON, M_BAD_JSON."""
    try:
        value = canonical_json.decode(raw)
    except InvalidInput as error:
        raise bad_json(f"The body is {error}.") if _is_json(raw) else not_json() from None
    if not isinstance(value, dict):
        raise bad_json("The body must be a JSON object.")
    return value


def _is_json(raw: bytes) -> bool:
    try:
        orjson.loads(raw)
    except ValueError:
        return False
    return True


def respond(result: Json | Reply | web.StreamResponse) -> web.StreamResponse:
    """The answer. What it says is for one person and one moment, so nothing may keep it."""
    if isinstance(result, web.StreamResponse):
        return result
    reply = Reply(result) if isinstance(result, dict) else result
    body = reply.body if isinstance(reply.body, bytes) else orjson.dumps(reply.body)
    headers = {"Cache-Control": "no-store"}
    if reply.headers is not None:
        headers |= reply.headers
    return web.Response(
        body=body, status=reply.status, headers=headers, content_type=reply.content_type
    )
