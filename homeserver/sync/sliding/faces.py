"""What rooms look like from outside: name, picture, kind; in memory by version of their state."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.storage import events, sync_reads
from homeserver.storage.database import Connection

CAPACITY = 50_000
_CREATE, _NAME, _AVATAR = "m.room.create", "m.room.name", "m.room.avatar"
_ENCRYPTION = "m.room.encryption"
_TYPES = (_CREATE, _NAME, _AVATAR, _ENCRYPTION)


@dataclass(frozen=True, slots=True)
class Face:
    """A room at a version of its state. name, avatar: None where it has none."""

    version: int
    name: str | None = None
    avatar: str | None = None
    room_type: str | None = None
    is_encrypted: bool = False


class Faces:
    """Bounded; those not used for the longest leave first."""

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._known: OrderedDict[int, Face] = OrderedDict()

    async def load(self, db: Connection, versions: Mapping[int, int]) -> dict[int, Face]:
        """Of rooms at these versions. At most two queries; none for what is in memory."""
        found = {
            nid: face
            for nid, version in versions.items()
            if (face := self._known.get(nid)) is not None and face.version == version
        }
        missing = {nid: version for nid, version in versions.items() if nid not in found}
        if missing:
            found |= await self._read(db, missing)
        return found

    async def _read(self, db: Connection, versions: Mapping[int, int]) -> dict[int, Face]:
        rows = await sync_reads.entries_at(db, versions, _TYPES)
        loaded = await events.by_nids(db, [row.event_nid for row in rows])
        contents: dict[int, dict[str, Mapping[str, Any]]] = {nid: {} for nid in versions}
        for row in rows:
            contents[row.room_nid][row.type] = loaded[row.event_nid].event.content
        faces = {nid: _face(versions[nid], content) for nid, content in contents.items()}
        for room_nid, face in faces.items():
            self._known[room_nid] = face
            self._known.move_to_end(room_nid)
        while len(self._known) > self._capacity:
            self._known.popitem(last=False)
        return faces


def _face(version: int, contents: Mapping[str, Mapping[str, Any]]) -> Face:
    return Face(
        version=version,
        name=_text(contents.get(_NAME, {}).get("name")),
        avatar=_text(contents.get(_AVATAR, {}).get("url")),
        room_type=_text(contents.get(_CREATE, {}).get("type")),
        is_encrypted=_text(contents.get(_ENCRYPTION, {}).get("algorithm")) is not None,
    )


def _text(value: Any) -> str | None:
    """Empty or of another type: none."""
    return value if isinstance(value, str) and value else None
