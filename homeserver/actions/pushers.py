"""Where one's sessions want their notifications sent. Source: C-S API v1.19 pusher.yaml."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from homeserver.clock import Clock
from homeserver.errors import InvalidInput, TooLarge
from homeserver.requester import Requester
from homeserver.storage import pushers
from homeserver.storage.database import Database
from homeserver.storage.pushers import PusherRow

GATEWAY_PATH = "/_matrix/push/v1/notify"
MAX_PUSHERS = 100
"""Of one user."""
MAX_APP_ID_CHARS = 64
MAX_PUSHKEY_BYTES = 512
MAX_DATA_BYTES = 8_192
MAX_TEXT_CHARS = 255

Pusher = PusherRow
"""As its owner sees it."""


@dataclass(frozen=True, slots=True)
class WantedPusher:
    """A pusher as a client describes it. append: others may have one with the same key."""

    app_id: str
    pushkey: str
    app_display_name: str
    device_display_name: str
    profile_tag: str | None
    lang: str
    data: Mapping[str, Any]
    append: bool


class Pushers:
    """A user's own. A pusher ends with the session that set it. All raise Unavailable."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def all(self, by: Requester) -> Sequence[Pusher]:
        async with self._database.connection() as db:
            return await pushers.of_user(db, by.user_nid)

    async def put(self, by: Requester, wanted: WantedPusher) -> None:
        """Adds a pusher or changes it. Raises InvalidInput, TooLarge."""
        _check(wanted)
        row = _row(wanted, by, self._clock.now_ms())
        key = by.user_nid, wanted.app_id, wanted.pushkey
        async with self._database.transaction() as db:
            if await pushers.other_count(db, *key) >= MAX_PUSHERS:
                raise TooLarge(f"Nobody has more than {MAX_PUSHERS} pushers.")
            if not wanted.append:
                await pushers.delete_of_others(db, *key)
            await pushers.put(db, row)

    async def delete(self, by: Requester, app_id: str, pushkey: str) -> None:
        """Where there is none, nothing happens."""
        if "\0" not in app_id + pushkey:
            async with self._database.connection() as db:
                await pushers.delete(db, by.user_nid, app_id, pushkey)


def _row(wanted: WantedPusher, by: Requester, now_ms: int) -> PusherRow:
    return PusherRow(
        app_id=wanted.app_id,
        pushkey=wanted.pushkey,
        user_nid=by.user_nid,
        session_nid=by.session_nid,
        created_at=now_ms,
        app_display_name=wanted.app_display_name,
        device_display_name=wanted.device_display_name,
        profile_tag=wanted.profile_tag,
        lang=wanted.lang,
        data=orjson.dumps(wanted.data),
    )


def _check(wanted: WantedPusher) -> None:
    if not 0 < len(wanted.app_id) <= MAX_APP_ID_CHARS:
        raise InvalidInput("It has 1 to 64 characters.", field="app_id")
    if not 0 < len(wanted.pushkey.encode("utf-8", "replace")) <= MAX_PUSHKEY_BYTES:
        raise InvalidInput("It has 1 to 512 bytes.", field="pushkey")
    texts = {
        "app_id": wanted.app_id,
        "pushkey": wanted.pushkey,
        "app_display_name": wanted.app_display_name,
        "device_display_name": wanted.device_display_name,
        "profile_tag": wanted.profile_tag or "",
        "lang": wanted.lang,
    }
    for field, text in texts.items():
        if "\0" in text:
            raise InvalidInput("It contains U+0000.", field=field)
        if field != "pushkey" and len(text) > MAX_TEXT_CHARS:
            raise InvalidInput(f"It has at most {MAX_TEXT_CHARS} characters.", field=field)
    _check_data(wanted.data)


def _check_data(data: Mapping[str, Any]) -> None:
    if len(orjson.dumps(data)) > MAX_DATA_BYTES:
        raise TooLarge("The data of the pusher is too large.")
    url = data.get("url")
    if not isinstance(url, str) or not is_gateway(url):
        raise InvalidInput(
            f"It must be an https URL with the path {GATEWAY_PATH}.", field="data.url"
        )
    if "format" in data and not isinstance(data["format"], str):
        raise InvalidInput("It must be text.", field="data.format")


def is_gateway(url: str) -> bool:
    """C-S API v1.19 pusher.yaml: "MUST be an HTTPS URL with a path of /_matrix/push/v1/notify"."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return parts.scheme == "https" and bool(host) and parts.path == GATEWAY_PATH
