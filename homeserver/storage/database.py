"""The way to Postgres: a pool, transactions, snapshots, and one answer to every failure.

Whatever is wrong with the database and not with the statement (it is away, starting, full, too
slow) leaves this module as `Unavailable`, within seconds; a wrong statement stays an asyncpg error.

Unavailable
├── TransactionConflict    Postgres ended this transaction to resolve a deadlock or a conflict
└── OutcomeUnknown         the connection went away during COMMIT: it may have taken effect
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from operator import attrgetter
from random import Random
from typing import Any, NoReturn, Self, TypeAlias, TypeVar
from uuid import UUID

import asyncpg
from asyncpg.pool import Pool, PoolConnectionProxy
from asyncpg.transaction import Transaction

from homeserver.errors import Unavailable

# What storage functions take: pooled or not makes no difference to them.
Connection: TypeAlias = asyncpg.Connection | PoolConnectionProxy

_Result = TypeVar("_Result")

_CONFLICTS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,  # asyncpg, when the server ends an idle connection with a reason
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    ConnectionError,
    TimeoutError,
)
_AWAY = (
    *_LOST,
    asyncpg.CannotConnectNowError,  # starting up, shutting down, recovering
    asyncpg.InsufficientResourcesError,  # too many connections, no memory, a full disk
    asyncpg.QueryCanceledError,  # statement_timeout
    asyncpg.LockNotAvailableError,  # lock_timeout
    asyncpg.PostgresSystemError,  # input/output errors below Postgres
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
)
_ANY_FAILURE = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)

# How much longer than Postgres this side waits before it takes the connection for dead.
_CLIENT_MARGIN_S = 5.0
_FIRST_PAUSE_S = 0.005


class TransactionConflict(Unavailable):
    """Two transactions stood in each other's way; the same work in a new one may succeed."""


class OutcomeUnknown(Unavailable):
    """The connection went away during COMMIT: the transaction took effect, or it did not."""


class Database:
    """A pool of connections to one database.

    Connections are not reset when they come back (that would be a round trip for each use), so
    nothing that outlives a transaction may be done on one: `SET LOCAL`, `pg_advisory_xact_lock` and
    cursors are fine, `SET`, `LISTEN` and `pg_advisory_lock` belong on a `dedicated` one. Nothing is
    left open: what cannot be rolled back ends with its connection.
    """

    def __init__(
        self, *, pool: "Pool[asyncpg.Record]", dsn: str, settings: "_Settings", random: Random
    ) -> None:
        self._pool = pool
        self._dsn = dsn
        self._settings = settings
        self._random = random

    @classmethod
    async def connect(
        cls,
        dsn: str,
        *,
        max_connections: int = 16,
        acquire_timeout_s: float = 5.0,
        statement_timeout_s: float = 30.0,
        application_name: str = "foyer",
        random: Random | None = None,
    ) -> Self:
        """Open the pool and one connection, so that a wrong DSN shows here.

        acquire_timeout_s: how long a use may wait for a free connection, opening one included.
        statement_timeout_s: after it Postgres cancels a statement; 0 means never.
        random: spreads the pauses between the attempts of `retrying`.
        Raises Unavailable.
        """
        settings = _Settings(acquire_timeout_s, statement_timeout_s, application_name)
        pool = asyncpg.create_pool(
            dsn,
            init_size=1,
            min_size=0,
            max_size=max_connections,
            max_inactive_connection_lifetime=600,
            init=_use_plain_uuids,
            **settings.for_asyncpg(),
        )
        try:
            async with asyncio.timeout(acquire_timeout_s):
                await pool
        except _ANY_FAILURE as error:
            raise _unreachable(error) from error
        return cls(pool=pool, dsn=dsn, settings=settings, random=random or Random())  # noqa: S311

    @property
    def connections_in_use(self) -> int:
        """How many of the pool's connections somebody holds now."""
        return self._pool.get_size() - self._pool.get_idle_size()

    async def close(self, *, grace_s: float = 10.0) -> None:
        """Wait for the connections in use, then close all; after the grace they are cut."""
        try:
            async with asyncio.timeout(grace_s):
                await self._pool.close()
        except _ANY_FAILURE:
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection without a transaction: each statement is its own. Raises Unavailable."""
        connection = await self._acquire()
        try:
            yield connection
        except _ANY_FAILURE as error:
            _raise_judged(error, connection)
        finally:
            await self._release(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction that writes (READ COMMITTED): committed at the end, rolled back on error.

        Raises Unavailable, or its kinds TransactionConflict and OutcomeUnknown.
        """
        async with self.connection() as connection:
            transaction = connection.transaction(isolation="read_committed")
            try:
                await transaction.start()
                yield connection
            except BaseException:
                await _roll_back(transaction, connection)
                raise
            await _commit(transaction, connection)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """Reads that all see one moment (REPEATABLE READ READ ONLY). Raises Unavailable."""
        async with self.connection() as connection:
            transaction = connection.transaction(isolation="repeatable_read", readonly=True)
            try:
                await transaction.start()
                yield connection
            finally:
                await _roll_back(transaction, connection)  # nothing to commit: as good, never fails

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[Connection]:
        """A connection of its own, outside the pool and without a statement timeout.

        For what lasts: LISTEN, session advisory locks. It is not replaced when it is lost
        (`add_termination_listener` tells). Raises Unavailable when it cannot be opened.
        """
        settings = self._settings.without_timeout()
        try:
            connection = await asyncpg.connect(self._dsn, **settings.for_asyncpg())
        except _ANY_FAILURE as error:
            raise _unreachable(error) from error
        try:
            yield connection
        except _ANY_FAILURE as error:
            _raise_judged(error, connection)
        finally:
            with suppress(*_ANY_FAILURE):
                await connection.close(timeout=self._settings.acquire_timeout_s)

    async def retrying(
        self, work: Callable[[Connection], Awaitable[_Result]], *, attempts: int = 5
    ) -> _Result:
        """Do `work` in a transaction, and again in a new one when it loses a conflict.

        work: may run several times, so its only effects are on the connection.
        Raises TransactionConflict when the last attempt lost too, and what `transaction` raises.
        """
        for attempt in range(1, attempts):
            try:
                return await self._once(work)
            except TransactionConflict:
                await asyncio.sleep(_FIRST_PAUSE_S * 2**attempt * self._random.random())
        return await self._once(work)

    async def _once(self, work: Callable[[Connection], Awaitable[_Result]]) -> _Result:
        async with self.transaction() as connection:
            return await work(connection)

    async def _acquire(self) -> PoolConnectionProxy:
        try:
            async with asyncio.timeout(self._settings.acquire_timeout_s):
                return await self._pool.acquire()
        except _ANY_FAILURE as error:
            raise _unreachable(error) from error

    async def _release(self, connection: PoolConnectionProxy) -> None:
        # A failure here has no consequence: asyncpg has then closed the connection.
        with suppress(*_ANY_FAILURE):
            await self._pool.release(connection, timeout=self._settings.acquire_timeout_s)


async def _use_plain_uuids(connection: asyncpg.Connection) -> None:
    """asyncpg has a UUID class of its own, which orjson does not know."""
    await connection.set_type_codec(
        "uuid",
        schema="pg_catalog",
        encoder=attrgetter("bytes"),
        decoder=_uuid_of,
        format="binary",
    )


def _uuid_of(data: bytes) -> UUID:
    return UUID(bytes=bytes(data))


@dataclass(frozen=True, slots=True)
class _Settings:
    """How every connection is opened."""

    acquire_timeout_s: float
    statement_timeout_s: float
    application_name: str

    def without_timeout(self) -> "_Settings":
        return _Settings(self.acquire_timeout_s, 0, self.application_name)

    def for_asyncpg(self) -> dict[str, Any]:
        return {
            "connection_class": _PooledConnection,
            "timeout": self.acquire_timeout_s,
            "command_timeout": self._command_timeout_s(),
            # All statements of the program fit; without a lifetime they are prepared once.
            "statement_cache_size": 512,
            "max_cached_statement_lifetime": 0,
            "server_settings": {
                "application_name": self.application_name,
                "jit": "off",  # compiling costs more than our short statements take
                "timezone": "UTC",
                "statement_timeout": str(round(self.statement_timeout_s * 1000)),
                # A transaction that waits for this process that long has been forgotten.
                "idle_in_transaction_session_timeout": "60000",
            },
        }

    def _command_timeout_s(self) -> float | None:
        """For a server that answers nothing at all, not even that it cancelled."""
        if not self.statement_timeout_s:
            return None
        return self.statement_timeout_s + _CLIENT_MARGIN_S


class _PooledConnection(asyncpg.Connection):
    """asyncpg's connection, without a reset, and with an honest COMMIT."""

    def get_reset_query(self) -> str:
        """Nothing: see Database for what this asks of its users."""
        return ""

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:
        """Postgres answers the COMMIT of a failed transaction with ROLLBACK, not with an error.

        Raises InFailedSQLTransactionError then, or code that caught a failed statement's error
        would take the transaction for committed.
        """
        status = await super().execute(query, *args, timeout=timeout)
        if status == "ROLLBACK" and query == "COMMIT;":
            raise asyncpg.InFailedSQLTransactionError(
                "The transaction was rolled back because one of its statements had failed."
            )
        return status


async def _roll_back(transaction: Transaction, connection: Connection) -> None:
    """End the transaction; one that cannot be ended, or of which nobody knows whether it began,
    ends with its connection.
    """
    if _is_gone(connection):
        return
    try:
        await transaction.rollback()
    except _ANY_FAILURE:
        connection.terminate()
    except asyncio.CancelledError:
        connection.terminate()
        raise


async def _commit(transaction: Transaction, connection: Connection) -> None:
    try:
        await transaction.commit()
    except _ANY_FAILURE as error:
        if isinstance(error, _LOST) or _is_gone(connection):
            raise OutcomeUnknown(
                "The database went away while it was storing this; it may be stored or not."
            ) from error
        raise
    except asyncio.CancelledError:
        connection.terminate()  # it has its COMMIT, and nobody who waits for the answer
        raise


def _raise_judged(error: Exception, connection: Connection) -> NoReturn:
    """Raise what the failure means to a caller."""
    if isinstance(error, asyncpg.InternalClientError) and not _is_gone(connection):
        connection.terminate()  # nobody knows what state it is in
    failure = _as_unavailable(error, connection)
    if failure is None:
        raise error
    raise failure from error


def _as_unavailable(error: Exception, connection: Connection) -> Unavailable | None:
    """The failure that the caller is not to blame for, or None for a wrong statement."""
    if isinstance(error, _CONFLICTS):
        return TransactionConflict("The database was busy with a conflicting change.")
    if isinstance(error, _AWAY) or _is_gone(connection):
        return Unavailable(f"The database cannot answer now: {_sentence(error)}")
    return None


def _is_gone(connection: Connection) -> bool:
    """Whether it was lost.

    asyncpg detaches a pooled connection that was, and then even asking raises InterfaceError.
    """
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True


def _unreachable(error: Exception) -> Unavailable:
    return Unavailable(f"The database cannot be reached: {_sentence(error)}")


def _sentence(error: Exception) -> str:
    """What happened, for the log and the operator; a timeout has no text of its own."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time."
    text = str(error) or type(error).__name__
    return text if text.endswith(".") else f"{text}."
