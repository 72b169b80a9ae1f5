"""`preview_url`, which has an old and a new path. Source: C-S API v1.19 `getUrlPreviewAuthed`."""

from clientapi.matrix.endpoint import Call, NoBody, Query, Reply
from clientapi.matrix.errors import unrecognized
from homeserver.config import MediaConfig
from homeserver.requester import Requester
from mediarepo.previews.previews import Previews


class PreviewQuery(Query):
    """ts: of what time the preview should be. The newest one that is kept is as good as any: "the
    server may return a newer version if it does not have the requested version".
    """

    url: str
    ts: int | None = None


class PreviewEndpoint:
    """Previews, where there are any; else as a server that knows no such endpoint answers."""

    def __init__(self, *, previews: Previews, settings: MediaConfig) -> None:
        self._previews = previews
        self._is_enabled = settings.previews.enabled

    async def answer(self, call: Call[PreviewQuery, NoBody], by: Requester) -> Reply:
        if not self._is_enabled:
            raise unrecognized(frozenset())
        return Reply(await self._previews.preview(by, call.query.url))
