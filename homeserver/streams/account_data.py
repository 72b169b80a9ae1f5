"""The stream of account data: writing it, and its tail."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from homeserver.storage import account_data, streams
from homeserver.storage.account_data import AccountDataPut, AccountDataRow
from homeserver.storage.database import Connection, Database
from homeserver.streams.bus import Bus
from homeserver.streams.gathering import Gathering
from homeserver.streams.ring import READ_LIMIT, Stretch, Tail

ACCOUNT_DATA = "account_data"
RING_SIZE = 1_000
"""Contents may have 64 KiB each."""

AccountDataTail = Tail[AccountDataRow]

Edit = Callable[[bytes | None], bytes | None]
"""From the content (None: there is none) to the new content (None: it stays)."""

_Key = tuple[int, int, str]


def account_data_tail(*, database: Database) -> AccountDataTail:
    """The tail of all account data of all users."""

    async def read(db: Connection, position: int) -> Stretch[AccountDataRow]:
        rows = await account_data.after_position(db, position, READ_LIMIT)
        if len(rows) == READ_LIMIT:
            return Stretch(rows, rows[-1].position)
        return Stretch(rows, await newest(db))

    async def newest(db: Connection) -> int:
        return await streams.current(db, ACCOUNT_DATA)

    return Tail(
        database=database, topic=ACCOUNT_DATA, read=read, newest=newest, ring_size=RING_SIZE
    )


@dataclass(frozen=True, slots=True)
class _Put:
    """event_position: of what only moves forward, the place of its event."""

    content: bytes
    event_position: int | None


class AccountDataWriter:
    """Writes account data. What is put at about the same time is committed together."""

    def __init__(self, *, database: Database, tail: AccountDataTail, bus: Bus) -> None:
        self._database = database
        self._tail = tail
        self._bus = bus
        self._gathering: Gathering[_Key, _Put] = Gathering(commit=self._commit, prefer=_prefer)

    async def put(
        self,
        user_nid: int,
        room_nid: int,
        event_type: str,
        content: bytes,
        *,
        event_position: int | None = None,
    ) -> None:
        """room_nid: 0 for what belongs to no room. content: JSON. Raises Unavailable.

        With the position of an event, the entry only moves forward: it stays if it stands there
        already, or farther.
        """
        key = user_nid, room_nid, event_type
        await self._gathering.put(key, _Put(content, event_position))

    async def change(self, user_nid: int, room_nid: int, event_type: str, edit: Edit) -> None:
        """Changes what is there, whoever else does so at the same moment.

        Raises Unavailable, and what `edit` raises: then nothing is changed.
        """
        async with self._database.transaction() as db:
            # This locks the stream, so nobody writes between what is read and what is written.
            position = await streams.take_positions(db, ACCOUNT_DATA, 1)
            content = edit(await account_data.get(db, user_nid, room_nid, event_type))
            rows = []
            if content is not None:
                rows = [AccountDataRow(position, user_nid, room_nid, event_type, content)]
                await account_data.put(db, [AccountDataPut(rows[0])])
        self._tell(rows, first=position, last=position)

    async def run(self) -> None:
        """Commits batches until cancelled."""
        await self._gathering.run()

    async def _commit(self, puts: dict[_Key, _Put]) -> None:
        async with self._database.transaction() as db:
            last = await streams.take_positions(db, ACCOUNT_DATA, len(puts))
            first = last - len(puts) + 1
            rows = _rows(puts, first)
            written = await account_data.put(db, rows)
        self._tell(
            [each.row for each in rows if each.row.position in written], first=first, last=last
        )

    def _tell(self, rows: Sequence[AccountDataRow], *, first: int, last: int) -> None:
        self._tail.offer(rows, after=first - 1, upto=last)
        self._bus.announce(ACCOUNT_DATA, str(last))


def _prefer(former: _Put, latter: _Put) -> _Put:
    """The latter, unless it would move back."""
    if former.event_position is None or latter.event_position is None:
        return latter
    return former if former.event_position > latter.event_position else latter


def _rows(puts: dict[_Key, _Put], first: int) -> list[AccountDataPut]:
    return [
        AccountDataPut(AccountDataRow(position, *key, put.content), put.event_position)
        for position, (key, put) in enumerate(puts.items(), first)
    ]
