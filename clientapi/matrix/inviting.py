"""Inviting people (inviting.yaml, third_party_membership.yaml, which have one path)."""

from collections.abc import Iterator
from typing import Any

from clientapi.matrix.endpoint import Call, Json, NoQuery, Route
from clientapi.matrix.errors import bad_json
from clientapi.matrix.joining import Reason
from clientapi.matrix.services import MatrixServices
from clientapi.matrix.strangers import members_only
from homeserver.actions.inviting import Inviting
from homeserver.errors import NoIdentityServer
from homeserver.identifiers import native_uuid, parse_user_id
from homeserver.requester import Requester


class Invitation(Reason):
    """The body of `inviteUser` or, with a third-party identifier, of `inviteBy3PID`."""

    user_id: str | None = None
    medium: Any = None
    address: Any = None


class InvitingEndpoints:
    """Endpoints of inviting.yaml and third_party_membership.yaml."""

    def __init__(self, *, inviting: Inviting) -> None:
        self._inviting = inviting

    async def invite_user(self, call: Call[NoQuery, Invitation], by: Requester) -> Json:
        body = call.body
        if body.user_id is None:
            return self._invite_by_3pid(body)
        with members_only():
            await self._inviting.invite(
                by, native_uuid(call.room_id), parse_user_id(body.user_id), body.content()
            )
        return {}

    def _invite_by_3pid(self, body: Invitation) -> Json:
        """`inviteBy3PID`."""
        if body.medium is None and body.address is None:
            raise bad_json("user_id is missing.")
        raise NoIdentityServer("This server cannot find people by third-party identifiers.")


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = InvitingEndpoints(inviting=services.inviting)
    yield Route(
        method="POST",
        path="v3/rooms/{roomId}/invite",
        run=endpoints.invite_user,
        body=Invitation,
    )
