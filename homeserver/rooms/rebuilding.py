"""Preparing items again within their transaction, when another process wrote their room first.

The room's row is locked then, so what is built on its head now is committed. A process that had to
begin a new transaction would find the room written again, for the other need not load its head.
"""

from collections.abc import Sequence

from homeserver.errors import FoyerError
from homeserver.rooms.batch import Item
from homeserver.rooms.head import RoomHead
from homeserver.rooms.heads import entries, read_head
from homeserver.storage.database import Connection

Outcome = Item | FoyerError | None
"""An item on the room's head; what its maker says against it now; or None: its maker has to
prepare it anew, for something must be looked up."""


async def rebuilt(db: Connection, items: Sequence[Item]) -> list[Outcome]:
    """Items of one room, in order, each built on the one before it. The room's row is locked."""
    room = items[0].room
    head = await read_head(db, room)
    keys = {key for item in items if item.again is not None for key in item.again.needs()}
    head = head.knowing(await entries(db, room.room_nid, head.missing(keys)))
    outcomes: list[Outcome] = []
    for item in items:
        outcome = _again(item, head)
        if isinstance(outcome, Item):
            head = outcome.head
        outcomes.append(outcome)
    return outcomes


def _again(item: Item, head: RoomHead) -> Outcome:
    if item.again is None:
        return None
    try:
        return item.again.item(head)
    except FoyerError as error:
        return error
