"""A server's accounts without a façade, for tests: actions, views, authentication."""

from collections import defaultdict
from collections.abc import Callable
from secrets import token_bytes
from uuid import uuid4

from clientapi.authentication import Authenticator
from homeserver.accounts import Accounts, build_accounts
from homeserver.actions.registration import Registrant
from homeserver.actions.tokens import Client, Grant
from homeserver.application_services import ApplicationServices
from homeserver.config import AuthConfig
from homeserver.errors import NotAuthenticated
from homeserver.identifiers import ServerName
from homeserver.requester import Requester
from homeserver.storage.database import Database

SERVER = ServerName("example.org")
SECRET = b"a secret of the tests, long enough for every algorithm that a forger may try"
PASSWORD = "correct horse battery staple"
PHONE = Client(name="Phone", address="192.0.2.7", user_agent="Chat/1.0")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class ManualClock:
    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000


class LocalBus:
    """Announcements that reach this process only."""

    def __init__(self) -> None:
        self.listeners: dict[str, list[Callable[[str], None]]] = defaultdict(list)
        self.announced: list[tuple[str, str]] = []

    def announce(self, topic: str, payload: str) -> None:
        self.announced.append((topic, payload))
        for listener in self.listeners[topic]:
            listener(payload)

    def share(self, topic: str, payload: str) -> None:
        """There is no other process."""

    def subscribe(self, topic: str, listener: Callable[[str], None]) -> None:
        self.listeners[topic].append(listener)


class Office:
    """A server's accounts, with what the tests look at."""

    def __init__(self, database: Database, settings: AuthConfig) -> None:
        self.database = database
        self.clock = ManualClock()
        self.bus = LocalBus()
        self.accounts = self.build(settings)
        self.authenticator = Authenticator(
            access_tokens=self.accounts.access_tokens,
            tokens=self.accounts.tokens,
            sessions=self.accounts.sessions,
            sightings=self.accounts.sightings,
            application_services=self.accounts.application_services,
            bus=self.bus,
            clock=self.clock,
            random_bytes=token_bytes,
            ticket_ttl_s=settings.ticket_ttl_seconds,
        )

    def build(self, settings: AuthConfig) -> Accounts:
        return build_accounts(
            settings=settings,
            server_name=SERVER,
            application_services=ApplicationServices(),
            jwt_secret=SECRET,
            database=self.database,
            announce=self.bus.announce,
            status_of=lambda _: "away",
            clock=self.clock,
            random_bytes=token_bytes,
        )

    async def registers(self, name: str, **more: str) -> Grant:
        registrant = Registrant(
            email=more.get("email", f"{name.lower().replace(' ', '.')}@example.org"),
            name=name,
            password=more.get("password", PASSWORD),
            username=more.get("username"),
        )
        return await self.accounts.registration.register(registrant, more.get("code"), PHONE)

    async def logs_in(self, identifier: str, password: str = PASSWORD) -> Grant:
        return await self.accounts.login.login(identifier, password, PHONE)

    async def makes_admin(self) -> Requester:
        code = await self.accounts.registration.first_admin_code()
        return (await self.registers("Root", code=code or "")).requester

    async def is_welcome(self, grant: Grant) -> bool:
        try:
            await self.authenticator.authenticate(grant.access_token)
        except NotAuthenticated:
            return False
        return True

    async def put_in_room(self, *people: Requester, membership: str = "join") -> None:
        async with self.database.transaction() as db:
            room = uuid4()
            room_nid = await db.fetchval(
                """
                INSERT INTO rooms (room_id, uuid, version, kind, created_at)
                VALUES ($1, $2, '12', 'group', 0) RETURNING room_nid
                """,
                f"!{room}",
                room,
            )
            await db.executemany(
                "INSERT INTO memberships VALUES ($1, $2, 0, $3)",
                [(room_nid, person.user_nid, membership) for person in people],
            )


CHEAP = AuthConfig(
    registration="open", argon2_time_cost=1, argon2_memory_kib=64, access_token_ttl_seconds=3600
)


async def everything_in(database: Database) -> str:
    """The tables about accounts, as text."""
    async with database.connection() as db:
        rows = [
            row
            for table in ("users", "accounts", "sessions", "invitation_codes")
            for row in await db.fetch(f"SELECT * FROM {table}")
        ]
    return "\n".join(str(value) for row in rows for value in row.values())
