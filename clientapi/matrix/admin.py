"""What administrators may see and do (admin.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Body, Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.services import MatrixServices
from homeserver.actions.account_moderation import AccountModeration
from homeserver.requester import Requester
from homeserver.views.sessions import Sessions, SessionView


class SuspendBody(Body):
    suspended: bool


class LockBody(Body):
    locked: bool


class Admin:
    """Endpoints of admin.yaml."""

    def __init__(self, *, moderation: AccountModeration, sessions: Sessions) -> None:
        self._moderation = moderation
        self._sessions = sessions

    async def get_who_is(self, call: Call[NoQuery, NoBody], by: Requester) -> Json:
        views = await self._sessions.of_user(by, call.user_id)
        return {
            "user_id": call.user_id,
            "devices": {
                view.device_id: {"sessions": [{"connections": [_connection(view)]}]}
                for view in views
            },
        }

    async def get_admin_suspend_user(self, call: Call[NoQuery, NoBody], by: Requester) -> Json:
        suspended = await self._moderation.is_restricted(by, call.user_id, "suspended")
        return {"suspended": suspended}

    async def set_admin_suspend_user(self, call: Call[NoQuery, SuspendBody], by: Requester) -> Json:
        suspended = call.body.suspended
        await self._moderation.restrict(by, call.user_id, "suspended", restricted=suspended)
        return {"suspended": suspended}

    async def get_admin_lock_user(self, call: Call[NoQuery, NoBody], by: Requester) -> Json:
        return {"locked": await self._moderation.is_restricted(by, call.user_id, "locked")}

    async def set_admin_lock_user(self, call: Call[NoQuery, LockBody], by: Requester) -> Json:
        locked = call.body.locked
        await self._moderation.restrict(by, call.user_id, "locked", restricted=locked)
        return {"locked": locked}


def _connection(view: SessionView) -> Json:
    connection: Json = {"last_seen": view.last_seen_at_ms, "user_agent": view.user_agent}
    return connection if view.last_seen_ip is None else {**connection, "ip": view.last_seen_ip}


def routes(services: MatrixServices) -> Iterator[Route]:
    admin = Admin(moderation=services.accounts.moderation, sessions=services.accounts.sessions)
    yield Route(method="GET", path="v3/admin/whois/{userId}", run=admin.get_who_is)
    suspend, lock = "v1/admin/suspend/{userId}", "v1/admin/lock/{userId}"
    yield Route(method="GET", path=suspend, run=admin.get_admin_suspend_user)
    yield Route(method="PUT", path=suspend, run=admin.set_admin_suspend_user, body=SuspendBody)
    yield Route(method="GET", path=lock, run=admin.get_admin_lock_user)
    yield Route(method="PUT", path=lock, run=admin.set_admin_lock_user, body=LockBody)
