"""The caller's account."""

from collections.abc import Iterator

from clientapi.native import render
from clientapi.native.rest.endpoint import Call, Endpoint, Json, Private, Public
from clientapi.native.services import NativeServices
from homeserver.actions.registration import Registrant
from homeserver.actions.tokens import Grant
from homeserver.identifiers import localpart_of
from homeserver.requester import Requester
from homeserver.views.sessions import SessionView
from homeserver.views.users import UserView
from schema.operations import accounts as operations
from schema.wire import requests
from schema.wire.paths import NoPath, SessionPath
from schema.wire.requests import NoBody, NoQuery
from schema.wire.times import timestamp


class AccountEndpoints:
    """Log-in, profile, sessions, invitations."""

    def __init__(self, *, services: NativeServices) -> None:
        self._tokens = services.tokens
        self._login = services.login
        self._registration = services.registration
        self._profile = services.profile
        self._users = services.users
        self._sessions = services.sessions
        self._authenticator = services.authenticator
        self._limits = services.rate_limits

    def endpoints(self) -> Iterator[Endpoint]:
        yield Public(operations.LOGIN, self.login)
        yield Public(operations.REGISTER, self.register)
        yield Public(operations.REFRESH, self.refresh)
        yield Private(operations.LOGOUT, self.logout)
        yield Private(operations.LOGOUT_ALL, self.logout_all)
        yield Private(operations.CHANGE_PASSWORD, self.change_password)
        yield Private(operations.GET_ME, self.get_me)
        yield Private(operations.UPDATE_ME, self.update_me)
        yield Private(operations.LIST_SESSIONS, self.list_sessions)
        yield Private(operations.END_SESSION, self.end_session)
        yield Private(operations.ISSUE_TICKET, self.issue_ticket)
        yield Private(operations.CREATE_INVITATION, self.create_invitation)

    async def login(self, call: Call[NoPath, NoQuery, requests.Login]) -> Json:
        subject = self._login.subject(call.body.email)
        with self._limits.password_attempt(subject, call.client.address):
            grant = await self._login.login(call.body.email, call.body.password, call.client)
        return await self._logged_in(grant)

    async def register(self, call: Call[NoPath, NoQuery, requests.Register]) -> Json:
        self._limits.registration(call.client.address)
        body = call.body
        registrant = Registrant(
            email=body.email, name=body.name, password=body.password, username=body.username
        )
        grant = await self._registration.register(registrant, body.code, call.client)
        return await self._logged_in(grant)

    async def refresh(self, call: Call[NoPath, NoQuery, requests.Refresh]) -> Json:
        return _tokens(await self._tokens.refresh(call.body.refresh_token))

    async def logout(self, _call: Call[NoPath, NoQuery, NoBody], by: Requester) -> Json:
        await self._tokens.logout(by)
        return None

    async def logout_all(self, _call: Call[NoPath, NoQuery, NoBody], by: Requester) -> Json:
        await self._tokens.logout_all(by)
        return None

    async def change_password(
        self, call: Call[NoPath, NoQuery, requests.ChangePassword], by: Requester
    ) -> Json:
        with self._limits.password_attempt(by.user_id, call.client.address):
            await self._login.change_password(
                by, call.body.current_password, call.body.new_password
            )
        return await self._me(by)

    async def get_me(self, _call: Call[NoPath, NoQuery, NoBody], by: Requester) -> Json:
        return await self._me(by)

    async def update_me(
        self, call: Call[NoPath, NoQuery, requests.UpdateMe], by: Requester
    ) -> Json:
        await self._profile.update(by, name=call.body.name, avatar_url=call.body.avatar_url)
        return await self._me(by)

    async def list_sessions(self, _call: Call[NoPath, NoQuery, NoBody], by: Requester) -> Json:
        return [_session(view) for view in await self._sessions.list(by)]

    async def end_session(self, call: Call[SessionPath, NoQuery, NoBody], by: Requester) -> Json:
        await self._tokens.revoke(by, call.path.session_id)
        return None

    async def issue_ticket(self, _call: Call[NoPath, NoQuery, NoBody], by: Requester) -> Json:
        issued = self._authenticator.issue_ticket(by)
        return {"ticket": issued.ticket, "expires_in": issued.expires_in_s}

    async def create_invitation(
        self, call: Call[NoPath, NoQuery, requests.NewInvitation], by: Requester
    ) -> Json:
        body = call.body
        made = await self._registration.create_invitation(
            by, uses=body.uses, ttl_s=body.expires_in, makes_admin=body.admin
        )
        expires_at = render.moment(made.expires_at_ms)
        return {"code": made.code, "uses": made.uses, "expires_at": expires_at}

    async def _logged_in(self, grant: Grant) -> Json:
        user = await self._users.me(grant.requester)
        by = grant.requester
        names = {"user_id": by.user_id, "device_id": by.device_id}
        return {**_tokens(grant), "user": render.user(user), **names}

    async def _me(self, by: Requester) -> Json:
        return _me(await self._users.me(by), by)


def _tokens(grant: Grant) -> render.Rendered:
    return {
        "token": grant.access_token,
        "refresh_token": grant.refresh_token,
        "expires_in": grant.expires_in_s,
        "session_id": grant.requester.session_uuid,
    }


def _me(view: UserView, by: Requester) -> render.Rendered:
    return {
        **render.user(view),
        "username": localpart_of(view.user_id),
        "user_id": view.user_id,
        "device_id": by.device_id,
        "is_admin": by.is_admin,
    }


def _session(view: SessionView) -> render.Rendered:
    return {
        "id": view.uuid,
        "name": view.name,
        "created_at": timestamp(view.created_at_ms),
        "last_seen_at": timestamp(view.last_seen_at_ms),
        "last_seen_ip": view.last_seen_ip,
        "user_agent": view.user_agent,
        "current": view.is_current,
    }
