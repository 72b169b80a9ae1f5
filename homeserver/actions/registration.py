"""Making accounts, and the codes that allow it."""

from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Literal

from homeserver.actions import account_fields
from homeserver.actions.tokens import Announce, Client, Grant, RandomBytes, Tokens
from homeserver.application_services import ApplicationService, ApplicationServices
from homeserver.clock import Clock
from homeserver.errors import Conflict, InvalidInput, NameReserved, NotAllowed, UsernameTaken
from homeserver.events import base64
from homeserver.identifiers import ServerName, UserID, localpart_of
from homeserver.passwords import Passwords
from homeserver.readable_secrets import readable_secret
from homeserver.requester import Requester
from homeserver.storage import accounts, invitation_codes, users
from homeserver.storage.accounts import AccountRecord, NewAccount
from homeserver.storage.database import Connection, Database
from homeserver.storage.invitation_codes import NewCode
from homeserver.storage.users import UserRecord

Policy = Literal["closed", "token", "open"]

_DERIVED_AT_ONCE = 20
_MAX_USES = 100_000
_GENERATED_BYTES = 12
_MAX_TTL_S = 366 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Registrant:
    """Who shall have an account. `username` None: made from the e-mail address.
    `password` None: nobody can log in until one is set.
    """

    email: str
    name: str
    password: str | None
    username: str | None = None


@dataclass(frozen=True, slots=True)
class NewUser:
    """Who shall have an account without an e-mail address. `username` None: any.
    `password` None: nobody can log in with one. `name`: what others see; None: the username.
    """

    username: str | None
    password: str | None
    name: str | None = None
    is_guest: bool = False
    appservice: str | None = None


@dataclass(frozen=True, slots=True)
class Invitation:
    """A code with which somebody may register; this is the only time it is seen."""

    code: str
    uses: int
    expires_at_ms: int | None


@dataclass(frozen=True, slots=True)
class _Applicant:
    """A registrant whose fields were checked. `user_id` None: derive one."""

    email: str | None
    name: str
    user_id: UserID | None
    password_hash: str
    is_guest: bool = False
    appservice: str | None = None


class Registration:
    """Makes accounts as the server's policy allows."""

    def __init__(
        self,
        *,
        database: Database,
        passwords: Passwords,
        tokens: Tokens,
        policy: Policy,
        server_name: ServerName,
        application_services: ApplicationServices,
        announce: Announce,
        clock: Clock,
        random_bytes: RandomBytes,
    ) -> None:
        self._database = database
        self._announce = announce
        self._passwords = passwords
        self._tokens = tokens
        self._policy = policy
        self._server_name = server_name
        self._application_services = application_services
        self._clock = clock
        self._random_bytes = random_bytes

    async def register(self, registrant: Registrant, code: str | None, client: Client) -> Grant:
        """An account and its first session.

        code: needed unless everybody may register; an unusable one is refused in any case, and a
        use of it counts only if the account is made.
        Raises NotAllowed, InvalidInput with the field, Conflict.
        """
        code_hash = _hash_of(code) if code and code.strip() else None
        await self._check_allowed(code_hash)
        applicant = await self._check(registrant)
        account = await self._database.retrying(
            lambda db: self._insert_with_code(db, applicant, code_hash)
        )
        return await self._tokens.open(account, client)

    async def available(
        self, username: str, *, service: ApplicationService | None = None
    ) -> UserID:
        """The user ID that somebody who chooses this username would have.

        service: the application service that asks.
        Raises InvalidUsername, NameReserved, UsernameTaken.
        """
        user_id = self._chosen(username, service)
        async with self._database.connection() as db:
            if await users.by_user_ids(db, [user_id]):
                raise UsernameTaken("This username is taken.")
        return user_id

    def check_password(self, password: str, *, field: str = "password") -> None:
        """Whether somebody may choose this password. Raises InvalidInput with the field."""
        self._passwords.check(password, field=field)

    async def create_user(
        self,
        user: NewUser,
        *,
        code: str | None = None,
        service: ApplicationService | None = None,
        is_admin: bool = False,
    ) -> AccountRecord:
        """An account that has a username instead of an e-mail address; whether there may be one
        was asked before.

        code: an invitation, of which one use is taken. service: the application service that makes
        the account for itself.
        Raises as `available` does; InvalidInput for the password, NotAllowed for the code.
        """
        applicant = await self._check_user(user, service)
        code_hash = None if code is None else _hash_of(code)
        return await self._database.retrying(
            lambda db: self._insert_with_code(db, applicant, code_hash, is_admin=is_admin)
        )

    async def upgrade_guest(self, by: Requester, password: str, *, code: str | None) -> None:
        """A guest's account becomes one like any other; its sessions go on.
        Raises InvalidInput for the password, NotAllowed for the code.
        """
        password_hash = await self._passwords.hash(password)
        code_hash = None if code is None else _hash_of(code)

        async def upgrade(db: Connection) -> None:
            await self._use(db, code_hash)
            await accounts.end_being_guest(db, by.user_nid, password_hash, self._clock.now_ms())

        await self._database.retrying(upgrade)
        self._announce("account-changed", str(by.user_uuid))

    async def ensure_senders(self) -> None:
        """The users that application services act as themselves exist."""
        for service in self._application_services:
            async with self._database.connection() as db:
                known = await accounts.by_user_id(db, service.sender)
            if known is None:
                sender = NewUser(localpart_of(service.sender), None, appservice=service.id)
                await self.create_user(sender, service=service)

    async def is_usable(self, code: str) -> bool:
        """Whether somebody may register with this invitation code now."""
        async with self._database.connection() as db:
            return await invitation_codes.is_usable(db, _hash_of(code), self._clock.now_ms())

    async def create_account(self, registrant: Registrant, *, is_admin: bool) -> AccountRecord:
        """An account by decision of an administrator. Raises InvalidInput, Conflict."""
        applicant = await self._check(registrant)
        return await self._database.retrying(
            lambda db: self._insert(db, applicant, is_admin=is_admin)
        )

    async def create_invitation(
        self, by: Requester, *, uses: int = 1, ttl_s: int | None = None, makes_admin: bool = False
    ) -> Invitation:
        """A code for so many accounts; only administrators may. ttl_s None: it does not expire."""
        if not by.is_admin:
            raise NotAllowed("Only administrators of this server may create invitations.")
        if not 1 <= uses <= _MAX_USES:
            raise InvalidInput(f"An invitation has 1 to {_MAX_USES} uses.", field="uses")
        if ttl_s is not None and not 1 <= ttl_s <= _MAX_TTL_S:
            raise InvalidInput("An invitation lasts at most a year.", field="expires_in")
        expires_at = None if ttl_s is None else self._clock.now_ms() + ttl_s * 1000
        async with self._database.transaction() as db:
            code = await self._new_code(
                db, by.user_nid, uses=uses, expires_at=expires_at, makes_admin=makes_admin
            )
        return Invitation(code=code, uses=uses, expires_at_ms=expires_at)

    async def first_admin_code(self) -> str | None:
        """A code that makes the first administrator; None when there is one.

        It works once, whoever may register otherwise; those given before work no more.
        """
        async with self._database.transaction() as db:
            if await accounts.has_admin(db):
                return None
            await invitation_codes.delete_first_admin_codes(db)
            return await self._new_code(db, None, uses=1, expires_at=None, makes_admin=True)

    async def delete_unusable_codes(self) -> None:
        async with self._database.transaction() as db:
            await invitation_codes.delete_unusable(db, self._clock.now_ms())

    async def _check_allowed(self, code_hash: bytes | None) -> None:
        if code_hash is not None:
            async with self._database.connection() as db:
                if not await invitation_codes.is_usable(db, code_hash, self._clock.now_ms()):
                    raise _code_is_unusable()
        elif self._policy == "token":
            raise NotAllowed(
                "This server accepts registrations with an invitation code only: "
                "ask an administrator for one."
            )
        elif self._policy == "closed":
            raise NotAllowed(
                "This server does not accept registrations: ask an administrator for an account."
            )

    async def _check(self, registrant: Registrant) -> _Applicant:
        email = account_fields.email_address(registrant.email)
        name = account_fields.display_name(registrant.name)
        user_id = self._chosen(registrant.username) if registrant.username is not None else None
        password = registrant.password
        password_hash = "" if password is None else await self._passwords.hash(password)
        return _Applicant(email, name, user_id, password_hash)

    async def _check_user(self, user: NewUser, service: ApplicationService | None) -> _Applicant:
        username = user.username
        if username is None:
            username = base64.encode_urlsafe(self._random_bytes(_GENERATED_BYTES)).lower()
        user_id = self._chosen(username, service)
        password = user.password
        password_hash = "" if password is None else await self._passwords.hash(password)
        name = user.name or localpart_of(user_id)
        return _Applicant(None, name, user_id, password_hash, user.is_guest, user.appservice)

    def _chosen(self, username: str, service: ApplicationService | None = None) -> UserID:
        """The user ID, if whoever chose it may have it. Raises InvalidUsername, NameReserved."""
        user_id = account_fields.chosen_user_id(username, self._server_name)
        if service is not None and not service.may_be(user_id):
            raise NameReserved(f"{user_id} is not a user of {service.id}.")
        if service is None and self._application_services.reserving_user(user_id) is not None:
            raise NameReserved("This username is reserved for an application service.")
        return user_id

    async def _insert_with_code(
        self,
        db: Connection,
        applicant: _Applicant,
        code_hash: bytes | None,
        *,
        is_admin: bool = False,
    ) -> AccountRecord:
        makes_admin = await self._use(db, code_hash)
        return await self._insert(db, applicant, is_admin=is_admin or makes_admin)

    async def _use(self, db: Connection, code_hash: bytes | None) -> bool:
        """Takes one use of a code, if one is given. Whether it makes an administrator."""
        if code_hash is None:
            return False
        makes_admin = await invitation_codes.use(db, code_hash, self._clock.now_ms())
        if makes_admin is None:
            raise _code_is_unusable()
        return makes_admin

    async def _insert(
        self, db: Connection, applicant: _Applicant, *, is_admin: bool
    ) -> AccountRecord:
        user = await self._insert_user(db, applicant)
        new = NewAccount(
            email=applicant.email,
            password_hash=applicant.password_hash,
            is_admin=is_admin,
            created_at=self._clock.now_ms(),
            is_guest=applicant.is_guest,
            appservice=applicant.appservice,
        )
        account = await accounts.insert(db, user, new)
        if account is None:
            raise Conflict("There is an account with this e-mail address already.")
        if is_admin:
            await invitation_codes.delete_first_admin_codes(db)
        return account

    async def _insert_user(self, db: Connection, applicant: _Applicant) -> UserRecord:
        if applicant.user_id is None:
            return await self._insert_derived_user(db, applicant)
        user = await users.create(db, applicant.user_id, applicant.name)
        if user is None:
            raise UsernameTaken("This username is taken.")
        return user

    async def _insert_derived_user(self, db: Connection, applicant: _Applicant) -> UserRecord:
        """Looks at more and more names at a time, so that the 10,000th `info` is found too."""
        names = account_fields.derived_user_ids(applicant.email or "", self._server_name)
        at_once = _DERIVED_AT_ONCE
        while True:
            candidates = list(islice(names, at_once))
            taken = {user.user_id for user in await users.by_user_ids(db, candidates)}
            for user_id in candidates:
                if user_id in taken or self._application_services.reserving_user(user_id):
                    continue
                user = await users.create(db, user_id, applicant.name)
                if user is not None:
                    return user
            at_once *= 4

    async def _new_code(
        self,
        db: Connection,
        created_by: int | None,
        *,
        uses: int,
        expires_at: int | None,
        makes_admin: bool,
    ) -> str:
        code = readable_secret(self._random_bytes, groups=5, group_chars=5)
        new = NewCode(
            code_hash=_hash_of(code),
            makes_admin=makes_admin,
            created_by=created_by,
            created_at=self._clock.now_ms(),
            expires_at=expires_at,
            uses=uses,
        )
        await invitation_codes.insert(db, new)
        return code


def _code_is_unusable() -> NotAllowed:
    return NotAllowed("The invitation code is not valid: it is wrong, used up, or too old.")


def _hash_of(code: str) -> bytes:
    """Of what counts in a code: case, spaces and hyphens do not."""
    return sha256("".join(code.split()).replace("-", "").lower().encode()).digest()
