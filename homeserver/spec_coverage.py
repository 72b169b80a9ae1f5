"""What of the Matrix specification is served, and by which function: docs/spec-coverage.md.

The operations are those of `tests/spec/endpoints.csv`, so the document can be made in a checkout
only. Functions are found through the routes, so what is listed is what is served.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from inspect import unwrap
from pathlib import Path
from types import MappingProxyType
from typing import Any

from clientapi.matrix.endpoint import Route
from clientapi.matrix.routes import routes
from clientapi.matrix.services import MatrixServices
from homeserver.config import Config
from mediarepo.routes import routes as media_routes
from mediarepo.services import MediaServices

ENDPOINTS = Path(__file__).parents[1] / "tests" / "spec" / "endpoints.csv"

_APIS: Mapping[str, str] = MappingProxyType(
    {
        "client-server": "Client-server API",
        "server-server": "Server-server API",
        "application-service": "Application service API",
        "push-gateway": "Push gateway API",
        "identity": "Identity service API",
    }
)
_TIERS = ("core", "full", "legacy")

_NO_MESSAGES = "no mail and no text messages are sent, so no address can be validated"
_NO_IDENTITY_SERVER = "no identity server is trusted"
_NO_NETWORKS = "application services are not asked for their networks yet"
_NO_SSO = "single sign-on belongs to the OAuth 2.0 API"
_OLD_SYNC = "deprecated: clients use `/sync`"
_NO_OFFER = "only who offers the service to others serves it"

_REASONS_OF_OPERATIONS: Mapping[str, str] = MappingProxyType(
    {
        "inviteBy3PID": "inviting by address needs an identity server",
        "getAuthMetadata": "the OAuth 2.0 API is not served yet",
        "redirectToSSO": _NO_SSO,
        "redirectToIdP": _NO_SSO,
        "post3PIDs": _NO_IDENTITY_SERVER,
        "add3PID": _NO_MESSAGES,
        "delete3pidFromAccount": "the only address is that which native accounts log in with",
        "bind3PID": _NO_IDENTITY_SERVER,
        "requestTokenTo3PIDEmail": _NO_MESSAGES,
        "requestTokenTo3PIDMSISDN": _NO_MESSAGES,
        "requestTokenToResetPasswordEmail": _NO_MESSAGES,
        "requestTokenToResetPasswordMSISDN": _NO_MESSAGES,
        "requestTokenToRegisterEmail": _NO_MESSAGES,
        "requestTokenToRegisterMSISDN": _NO_MESSAGES,
        "getProtocolMetadata": _NO_NETWORKS,
        "queryLocationByProtocol": _NO_NETWORKS,
        "queryUserByProtocol": _NO_NETWORKS,
        "queryLocationByAlias": _NO_NETWORKS,
        "queryUserByID": _NO_NETWORKS,
        "getEvents": _OLD_SYNC,
        "getOneEvent": _OLD_SYNC,
        "initialSync": _OLD_SYNC,
    }
)
_REASONS_OF_MODULES: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("client-server", "End-to-end encryption"): "keys of devices are not kept yet",
        ("client-server", "Send-to-Device messaging"): "comes with end-to-end encryption",
    }
)
_REASONS_OF_APIS: Mapping[str, str] = MappingProxyType(
    {
        "server-server": "there is no federation yet",
        "application-service": "application services are not called yet",
        "push-gateway": "pushers are kept, but nothing is delivered to them yet",
        "identity": "identity servers are not used",
    }
)
_SHARED_ROUTE = frozenset({"inviteBy3PID", "getEvents"})
"""Operations with the route of another one, which says nothing about whether they are served."""

_UNEXPLAINED = "not built"
_HEAD = """\
# Coverage of the Matrix specification

Every operation of the five APIs of the specification v1.19, and the function that carries it out.
*core* is what everyday clients and servers need, *full* the rest, *legacy* what the specification
deprecates. Made by `make docs` from the routes of the server. What only ever refuses is listed with
its reason, and not counted as served.
"""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the specification. where: file and function; None if it has none.

    reason: why there is none, or why it refuses everything; else empty.
    """

    api: str
    method: str
    path: str
    operation_id: str
    tier: str
    where: tuple[str, str] | None
    reason: str

    @property
    def is_served(self) -> bool:
        return self.where is not None and not self.reason


def spec_coverage_markdown() -> str:
    """The whole document."""
    found = operations()
    return "\n".join([_HEAD, *_counts(found), "", *_tables(found)])


def operations() -> list[Operation]:
    """In the order of the specification's APIs, then by path."""
    functions = _functions()
    order = list(_APIS)
    with ENDPOINTS.open(encoding="utf-8", newline="") as lines:
        found = [_operation(row, functions) for row in csv.DictReader(lines)]
    return sorted(found, key=lambda each: (order.index(each.api), each.path, each.method))


def unexplained() -> list[str]:
    """Operations that are not served, and nobody says why."""
    return [each.operation_id for each in operations() if each.reason == _UNEXPLAINED]


def served_routes() -> list[Route]:
    """Every route, built on nothing: they can be looked at and not called."""
    services: dict[str, Any] = {each.name: _Anything() for each in fields(MatrixServices)}
    services["config"] = Config()
    media: dict[str, Any] = {each.name: _Anything() for each in fields(MediaServices)}
    return [*routes(MatrixServices(**services)), *media_routes(MediaServices(**media))]


class _Anything:
    """Stands for whatever routes are built on, since they are listed and not called."""

    def __getattr__(self, name: str) -> "_Anything":
        return self

    def __call__(self, *_arguments: Any, **_named: Any) -> "_Anything":
        return self


def _functions() -> dict[tuple[str, str], tuple[str, str]]:
    """File and function by method and path, whose names are left out."""
    return {
        (route.method, _shape(path)): _function(route)
        for route in served_routes()
        for path in route.paths
    }


def _shape(path: str) -> str:
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


def _function(route: Route) -> tuple[str, str]:
    run = unwrap(route.run)
    return run.__module__.replace(".", "/") + ".py", run.__qualname__


def _operation(
    row: Mapping[str, str], functions: Mapping[tuple[str, str], tuple[str, str]]
) -> Operation:
    operation_id = row["operation_id"]
    where = functions.get((row["method"], _shape(row["path"])))
    if operation_id in _SHARED_ROUTE or row["api"] not in {"client-server", "server-server"}:
        where = None
    return Operation(
        api=row["api"],
        method=row["method"],
        path=row["path"],
        operation_id=operation_id,
        tier=row["tier"],
        where=where,
        reason=_reason(row, has_function=where is not None),
    )


def _reason(row: Mapping[str, str], *, has_function: bool) -> str:
    api = row["api"]
    if api == "client-server":
        unnamed = "" if has_function else _UNEXPLAINED
        by_operation = _REASONS_OF_OPERATIONS.get(row["operation_id"], unnamed)
        if has_function:
            return by_operation
        return _REASONS_OF_MODULES.get((api, row["module"]), by_operation)
    return _NO_OFFER if row["role"] == "none" else _REASONS_OF_APIS[api]


def _counts(found: Sequence[Operation]) -> Iterator[str]:
    yield "| served | " + " | ".join(_TIERS) + " |"
    yield "| --- |" + " --- |" * len(_TIERS)
    for api, title in _APIS.items():
        of_api = [each for each in found if each.api == api]
        counts = (_count([each for each in of_api if each.tier == tier]) for tier in _TIERS)
        yield f"| {title} | " + " | ".join(counts) + " |"


def _count(found: Sequence[Operation]) -> str:
    return f"{sum(each.is_served for each in found)} of {len(found)}" if found else ""


def _tables(found: Sequence[Operation]) -> Iterator[str]:
    for api, title in _APIS.items():
        yield f"## {title}\n"
        yield "| operation | | tier | where |"
        yield "| --- | --- | --- | --- |"
        yield from (_row(each) for each in found if each.api == api)
        yield ""


def _row(operation: Operation) -> str:
    if operation.where is None:
        where = f"not yet: {operation.reason}"
    else:
        file, function = operation.where
        where = f"[{file}](../{file}) `{function}`"
        where += f" refuses: {operation.reason}" if operation.reason else ""
    what = f"`{operation.method} {operation.path}`"
    return f"| {operation.operation_id} | {what} | {operation.tier} | {where} |"
