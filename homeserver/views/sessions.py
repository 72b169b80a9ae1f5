"""Who is behind a token, and where one is logged in."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from homeserver.access_tokens import Claims
from homeserver.application_services import ApplicationService
from homeserver.clock import Clock
from homeserver.errors import NotAllowed, NotFound, UnknownDevice
from homeserver.identifiers import UserID, native_uuid
from homeserver.requester import Requester
from homeserver.storage import accounts, sessions
from homeserver.storage.accounts import AccountRecord
from homeserver.storage.database import Database
from homeserver.storage.sessions import SessionRecord

_NEVER_MS = 2**53


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session of the reader; `is_current`: the one he asks with."""

    uuid: UUID
    device_id: str
    name: str
    created_at_ms: int
    last_seen_at_ms: int
    last_seen_ip: str | None
    user_agent: str
    expires_at_ms: int
    is_current: bool


class Sessions:
    """Reads of sessions."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def requester(self, claims: Claims) -> Requester | None:
        """Who asks with these claims; None when the session or the account has ended."""
        async with self._database.connection() as db:
            owner = await sessions.owner(db, claims.session_uuid, self._clock.now_ms())
        if owner is None or owner.user_uuid != claims.user_uuid:
            return None
        return Requester(
            user_nid=owner.user_nid,
            user_id=owner.user_id,
            user_uuid=owner.user_uuid,
            session_nid=owner.session_nid,
            session_uuid=owner.session_uuid,
            device_id=owner.device_id,
            is_admin=owner.is_admin,
            expires_at_ms=_earlier(claims.expires_at_ms, owner.expires_at),
            is_guest=owner.is_guest,
            is_locked=owner.is_locked,
            is_suspended=owner.is_suspended,
        )

    async def device(self, by: Requester, device_id: str) -> SessionView:
        """One of the reader's. Raises NotFound."""
        async with self._database.connection() as db:
            record = await sessions.by_device(db, by.user_nid, device_id)
        if record is None:
            raise NotFound("You have no such device.", kind="device")
        return _view(record, by)

    async def of_user(self, by: Requester, user_id: UserID) -> Sequence[SessionView]:
        """Where a user is logged in, for himself and for administrators.
        Raises NotAllowed, NotFound.
        """
        if by.user_id != user_id and not by.is_admin:
            raise NotAllowed("Only administrators of this server may see the devices of others.")
        async with self._database.connection() as db:
            account = await accounts.by_user_id(db, user_id)
            if account is None:
                raise NotFound("User not found", kind="user")
            records = await sessions.of_user(db, account.user.user_nid, self._clock.now_ms())
        return [_view(record, by) for record in records]

    async def of_application_service(
        self, service: ApplicationService, user_id: str | None, device_id: str | None
    ) -> Requester:
        """An application service as one of its users (None: its own), with a device or without.

        Without a device the transactions of each user are counted by the user.
        Raises NotAllowed for a user that is not its own, or that it has not registered;
        UnknownDevice.
        """
        wanted = service.sender if user_id is None else UserID(user_id)
        if not service.may_be(wanted):
            raise NotAllowed(f"{service.id} may not act as {wanted}.")
        async with self._database.connection() as db:
            account = await accounts.by_user_id(db, wanted)
            if account is None or account.deactivated_at is not None:
                raise NotAllowed(f"{service.id} has not registered {wanted}.")
            user_nid = account.user.user_nid
            device = (
                None if device_id is None else await sessions.by_device(db, user_nid, device_id)
            )
        if device_id is not None and device is None:
            raise UnknownDevice(f"{wanted} has no device {device_id}.", field="device_id")
        return _asserted(service, account, device)

    async def list(self, by: Requester) -> list[SessionView]:
        """The reader's sessions, the one used last first."""
        async with self._database.connection() as db:
            records = await sessions.of_user(db, by.user_nid, self._clock.now_ms())
        return [_view(record, by) for record in records]


def _asserted(
    service: ApplicationService, account: AccountRecord, device: SessionRecord | None
) -> Requester:
    user = account.user
    without_device = native_uuid(f"{service.id} as {user.user_id}")
    return Requester(
        user_nid=user.user_nid,
        user_id=user.user_id,
        user_uuid=user.uuid,
        session_nid=-user.user_nid if device is None else device.session_nid,
        session_uuid=without_device if device is None else device.uuid,
        device_id="" if device is None else device.device_id,
        is_admin=account.is_admin,
        expires_at_ms=_NEVER_MS,
        appservice=service.id,
        is_locked=account.locked_at is not None,
        is_suspended=account.suspended_at is not None,
        is_limited=service.rate_limited and user.user_id != service.sender,
    )


def _earlier(token_ends: int | None, session_ends: int) -> int:
    return session_ends if token_ends is None else min(token_ends, session_ends)


def _view(record: SessionRecord, by: Requester) -> SessionView:
    return SessionView(
        uuid=record.uuid,
        device_id=record.device_id,
        name=record.display_name,
        created_at_ms=record.created_at,
        last_seen_at_ms=record.last_seen_at,
        last_seen_ip=record.last_seen_ip,
        user_agent=record.user_agent,
        expires_at_ms=record.expires_at,
        is_current=record.session_nid == by.session_nid,
    )
