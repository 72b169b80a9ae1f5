"""Profiles (profile.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Auth, Call, Content, Json, NoBody, NoQuery, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.services import MatrixServices
from homeserver.actions.profile import Profile, check_key
from homeserver.requester import Requester
from homeserver.views.profiles import Profiles


class ProfileEndpoints:
    """Endpoints of profile.yaml."""

    def __init__(self, *, profile: Profile, profiles: Profiles) -> None:
        self._profile = profile
        self._profiles = profiles

    async def get_user_profile(self, call: Call[NoQuery, NoBody], _by: Requester | None) -> Json:
        return await self._profiles.get(call.user_id)

    async def get_profile_field(self, call: Call[NoQuery, NoBody], _by: Requester | None) -> Json:
        return await self._profiles.field(call.user_id, call.parameters["keyName"])

    async def set_profile_field(self, call: Call[NoQuery, Content], by: Requester) -> Json:
        key, content = call.parameters["keyName"], call.body.content
        check_key(key)
        if key not in content:
            raise MatrixError(400, "M_MISSING_PARAM", f"{key} is missing.")
        await self._profile.set_field(by, call.user_id, key, content[key])
        return {}

    async def delete_profile_field(self, call: Call[NoQuery, NoBody], by: Requester) -> Json:
        await self._profile.delete_field(by, call.user_id, call.parameters["keyName"])
        return {}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = ProfileEndpoints(profile=services.accounts.profile, profiles=services.profiles)
    yield Route(
        method="GET",
        path="v3/profile/{userId}",
        run=endpoints.get_user_profile,
        auth=Auth.OPTIONAL,
        guests=True,
    )
    path = "v3/profile/{userId}/{keyName}"
    unstable = ("unstable/uk.tcpip.msc4133/profile/{userId}/{keyName}",)
    yield Route(
        method="GET",
        path=path,
        run=endpoints.get_profile_field,
        auth=Auth.OPTIONAL,
        guests=True,
        unstable=unstable,
    )
    yield Route(
        method="PUT",
        path=path,
        run=endpoints.set_profile_field,
        body=Content,
        guests=True,
        unstable=unstable,
    )
    yield Route(
        method="DELETE",
        path=path,
        run=endpoints.delete_profile_field,
        guests=True,
        unstable=unstable,
    )
