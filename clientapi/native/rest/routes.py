"""The router of the REST façade, made from the table of operations."""

from collections.abc import Iterator
from itertools import chain

from aiohttp import web

from clientapi.native.rest.accounts import AccountEndpoints
from clientapi.native.rest.encryption import BackupEndpoints, EncryptionEndpoints
from clientapi.native.rest.endpoint import Callers, Endpoint, serve
from clientapi.native.rest.members import MemberEndpoints
from clientapi.native.rest.messages import MessageEndpoints
from clientapi.native.rest.people import PeopleEndpoints
from clientapi.native.rest.rooms import RoomEndpoints
from clientapi.native.services import NativeServices
from schema.operations import OPERATIONS
from schema.operations.messages import LIST_MESSAGES, SEND_MESSAGE

_OFTEN_CALLED = (SEND_MESSAGE, LIST_MESSAGES)


def add_routes(application: web.Application, services: NativeServices) -> None:
    """Serve every operation of `schema.operations.OPERATIONS`.

    Raises KeyError if one has no endpoint: what is documented must work.
    """
    callers = Callers(authenticator=services.authenticator, rate_limits=services.rate_limits)
    by_name = {endpoint.operation.name: endpoint for endpoint in endpoints(services)}
    # aiohttp tries the routes of a prefix one after another.
    for operation in sorted(OPERATIONS, key=lambda operation: operation not in _OFTEN_CALLED):
        serve(application, by_name[operation.name], callers)


def endpoints(services: NativeServices) -> Iterator[Endpoint]:
    return chain(
        AccountEndpoints(services=services).endpoints(),
        RoomEndpoints(services=services).endpoints(),
        MemberEndpoints(services=services).endpoints(),
        MessageEndpoints(services=services).endpoints(),
        PeopleEndpoints(services=services).endpoints(),
        EncryptionEndpoints(services=services).endpoints(),
        BackupEndpoints(services=services).endpoints(),
    )
