"""Files that people put into messages."""

from collections.abc import Sequence
from uuid import UUID

from homeserver.attachments import AttachedFile
from homeserver.errors import InvalidInput
from homeserver.requester import Requester
from homeserver.storage import media, media_references
from homeserver.storage.database import Database
from homeserver.storage.media import MediaRecord

_UNNAMED = "file"


class Attachments:
    """Finds what somebody may attach: what he uploaded, and what is in a room that he is in."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def find(self, by: Requester, uuids: Sequence[UUID]) -> list[AttachedFile]:
        """In the order given. Raises InvalidInput for one that is not his to attach, or not here.

        Two queries at most.
        """
        async with self._database.connection() as db:
            found = await media.by_uuids(db, uuids)
            of_others = [each for each in found if found[each].user_nid != by.user_nid]
            seen = (
                await media_references.may_see(db, by.user_nid, of_others)
                if of_others
                else frozenset[UUID]()
            )
        for index, uuid in enumerate(uuids):
            record = found.get(uuid)
            is_his = record is not None and (record.user_nid == by.user_nid or uuid in seen)
            if record is None or not is_his or record.file is None or record.is_quarantined:
                raise InvalidInput(
                    "There is no such attachment, or none of yours.", field=f"attachments.{index}"
                )
        return [_attached(found[uuid]) for uuid in uuids]


def _attached(record: MediaRecord) -> AttachedFile:
    return AttachedFile(
        uri=record.uri,
        filename=record.filename or _UNNAMED,
        content_type=record.content_type,
        size=0 if record.file is None else record.file.size,
        width=record.width,
        height=record.height,
        blurhash=record.blurhash,
    )
