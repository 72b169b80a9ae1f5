"""Many people with many devices in encrypted rooms. Rooms are made by the engine; people, devices
and their keys are written into the tables, as many registrations and uploads would.

crowd = await crowd_of(server, alice, rooms=200, people=1_000, devices=5)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from uuid import uuid4

from homeserver.events import canonical_json
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import UserID, native_uuid
from homeserver.requester import Requester
from homeserver.storage.database import Connection
from tests.support.encryption import KeyMaker
from tests.support.server import FAR_AWAY, SERVER, Server

IN_A_ROOM = 25
"""People in each room beside its owner."""
MEGOLM = {"algorithm": "m.megolm.v1.aes-sha2"}
_crowds = count()


@dataclass(frozen=True)
class Crowd:
    """rooms: all of the owner's. people: each in at least one of them, with the first device."""

    rooms: Sequence[RoomRecord]
    people: Sequence[Requester]


async def crowd_of(
    server: Server, owner: Requester, *, rooms: int, people: int, devices: int
) -> Crowd:
    """people: at most so many as the rooms hold."""
    async with server.database.transaction() as db:
        crowd = await _people(db, people)
        await _devices(db, crowd, devices)
    places = [crowd[at % people] for at in range(rooms * IN_A_ROOM)]
    made = []
    for number in range(rooms):
        members = places[number * IN_A_ROOM : (number + 1) * IN_A_ROOM]
        room = await server.group(owner, *members)
        await server.sends(owner, room, "m.room.encryption", MEGOLM, state_key="")
        made.append(room)
    async with server.database.connection() as db:
        await db.execute("ANALYZE")  # as autovacuum does within a minute
    return Crowd(made, crowd)


async def _people(db: Connection, number: int) -> list[Requester]:
    name = f"crowd{next(_crowds)}"
    user_ids = [UserID(f"@{name}-{each}:{SERVER}") for each in range(number)]
    rows = await db.fetch(
        "INSERT INTO users (user_id, uuid, display_name)"
        " SELECT id, uuid, id FROM unnest($1::text[], $2::uuid[]) AS given (id, uuid)"
        " RETURNING user_nid, user_id",
        user_ids,
        [native_uuid(each) for each in user_ids],
    )
    return [
        Requester(
            user_nid=row["user_nid"],
            user_id=UserID(row["user_id"]),
            user_uuid=native_uuid(row["user_id"]),
            session_nid=0,
            session_uuid=uuid4(),
            device_id="DEVICE0",
            is_admin=False,
            expires_at_ms=FAR_AWAY,
        )
        for row in rows
    ]


async def _devices(db: Connection, people: Sequence[Requester], each: int) -> None:
    """With keys that they have signed."""
    owners = [person for person in people for _ in range(each)]
    names = [f"DEVICE{number}" for _ in people for number in range(each)]
    rows = await db.fetch(
        "INSERT INTO sessions (uuid, user_nid, device_id, display_name, created_at, last_seen_at,"
        " user_agent, expires_at)"
        " SELECT uuid, nid, device, 'Phone', 0, 0, '', $4"
        " FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS given (uuid, nid, device)"
        " RETURNING session_nid, user_nid, device_id",
        [uuid4() for _ in owners],
        [person.user_nid for person in owners],
        names,
        FAR_AWAY,
    )
    ids = {person.user_nid: person.user_id for person in people}
    keys = [KeyMaker.of(ids[row["user_nid"]], row["device_id"]).device_keys() for row in rows]
    await db.execute(
        "INSERT INTO device_keys (session_nid, user_nid, keys)"
        " SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])",
        [row["session_nid"] for row in rows],
        [row["user_nid"] for row in rows],
        [canonical_json.encode(each) for each in keys],
    )
