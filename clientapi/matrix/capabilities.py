"""What this server can do for its user (capabilities.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.services import MatrixServices
from homeserver.events.room_version import ROOM_VERSIONS
from homeserver.requester import Requester


class Capabilities:
    """Endpoints of capabilities.yaml."""

    def __init__(self, *, default_version: str, has_login_tokens: bool) -> None:
        self._default_version = default_version
        self._has_login_tokens = has_login_tokens

    async def get_capabilities(self, _call: Call[NoQuery, NoBody], by: Requester) -> Json:
        capabilities: Json = {
            "m.change_password": {"enabled": by.appservice is None and not by.is_guest},
            "m.room_versions": {
                "default": self._default_version,
                "available": dict.fromkeys(ROOM_VERSIONS, "stable"),
            },
            "m.set_displayname": {"enabled": True},
            "m.set_avatar_url": {"enabled": True},
            "m.profile_fields": {"enabled": True},
            "m.3pid_changes": {"enabled": False},
            "m.get_login_token": {"enabled": self._has_login_tokens},
            "m.forget_forced_upon_leave": {"enabled": False},
        }
        if by.is_admin:
            capabilities["m.account_moderation"] = {"suspend": True, "lock": True}
        return {"capabilities": capabilities}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = Capabilities(
        default_version=services.config.rooms.default_version,
        has_login_tokens=services.config.auth.login_tokens,
    )
    yield Route(method="GET", path="v3/capabilities", run=endpoints.get_capabilities)
