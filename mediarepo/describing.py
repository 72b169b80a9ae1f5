"""What is found out about pictures that native clients upload: Matrix clients find it out
themselves, and say it in the message.
"""

from homeserver.errors import Unavailable
from homeserver.requester import Requester
from homeserver.storage import media
from homeserver.storage.database import Database
from mediarepo.files import Files
from mediarepo.headers import kind_of
from mediarepo.imaging.imaging import Imaging
from mediarepo.imaging.jobs import ImageFacts
from mediarepo.uploads import Uploaded


class Describing:
    """Looks at pictures, and keeps what it finds."""

    def __init__(self, *, database: Database, files: Files, imaging: Imaging) -> None:
        self._database = database
        self._files = files
        self._imaging = imaging

    async def describe(self, by: Requester, uploaded: Uploaded) -> ImageFacts | None:
        """None: no picture, or one that cannot be looked at now; it is a file all the same."""
        if not kind_of(uploaded.content_type).startswith("image/"):
            return None
        try:
            async with self._files.on_disk(uploaded.file) as path:
                facts = await self._imaging.inspect(path, owner=by.user_nid)
            if facts is not None:
                await self._keep(uploaded, facts)
        except Unavailable:
            return None
        return facts

    async def _keep(self, uploaded: Uploaded, facts: ImageFacts) -> None:
        async with self._database.connection() as db:
            await media.describe(
                db,
                uploaded.address.uuid,
                width=facts.width,
                height=facts.height,
                blurhash=facts.blurhash,
            )
