"""Filters that clients keep here, and the ones that they send along. Parsed once each."""

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson

from homeserver.errors import InvalidInput, NotFound, TooLarge
from homeserver.events import canonical_json
from homeserver.requester import Requester
from homeserver.storage import filters
from homeserver.storage.database import Database
from homeserver.sync.filters import EVERYTHING, SyncFilter, parse_filter

MAX_BYTES = 65_536
_CAPACITY = 20_000
_MAX_ID_CHARS = 18


class FilterStore:
    """Bounded in memory; those not used for the longest leave first."""

    def __init__(self, *, database: Database, capacity: int = _CAPACITY) -> None:
        self._database = database
        self._capacity = capacity
        self._of_users: OrderedDict[tuple[int, str], SyncFilter] = OrderedDict()
        self._parsed: OrderedDict[bytes, SyncFilter] = OrderedDict()

    async def define(self, by: Requester, definition: Mapping[str, Any]) -> str:
        """The ID of the filter. Raises InvalidInput, TooLarge, Unavailable."""
        raw = _canonical(definition)
        parsed = self._parse(raw, definition)
        digest = sha256(raw).digest()
        async with self._database.transaction() as db:
            filter_nid = await filters.put(db, by.user_nid, digest, raw)
        self._keep(self._of_users, (by.user_nid, str(filter_nid)), parsed)
        return str(filter_nid)

    async def definition(self, by: Requester, filter_id: str) -> bytes:
        """As JSON. Raises NotFound, Unavailable."""
        found = None
        if filter_id.isascii() and filter_id.isdigit() and len(filter_id) <= _MAX_ID_CHARS:
            async with self._database.connection() as db:
                found = await filters.get(db, by.user_nid, int(filter_id))
        if found is None:
            raise NotFound("There is no such filter.", kind="filter")
        return found

    def peek(self, by: Requester, text: str | None) -> SyncFilter | None:
        """What `resolve` gives, if it is in memory."""
        if not text:
            return EVERYTHING
        key = by.user_nid, text
        found = self._of_users.get(key)
        if found is not None:
            self._of_users.move_to_end(key)
        return found

    async def resolve(self, by: Requester, text: str | None) -> SyncFilter:
        """text: a filter's ID, or JSON if it begins with a brace.

        Raises InvalidInput, also for an unknown ID; TooLarge, Unavailable.
        """
        found = self.peek(by, text)
        if found is not None:
            return found
        assert text is not None
        if text.startswith("{"):
            return self._inline(text)
        try:
            raw = await self.definition(by, text)
        except NotFound:
            raise InvalidInput("There is no such filter.", field="filter") from None
        parsed = self._parse(raw, orjson.loads(raw))
        self._keep(self._of_users, (by.user_nid, text), parsed)
        return parsed

    def _inline(self, text: str) -> SyncFilter:
        raw = text.encode("utf-8", "replace")
        known = self._parsed.get(raw)
        if known is not None:
            return known
        try:
            definition = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise InvalidInput("The filter is not JSON.", field="filter") from None
        return self._parse(raw, definition)

    def _parse(self, raw: bytes, definition: Any) -> SyncFilter:
        """The same definition gives the same object, so what is made for it can be shared."""
        if len(raw) > MAX_BYTES:
            raise TooLarge(f"A filter may have {MAX_BYTES} bytes.")
        found = self._parsed.get(raw)
        if found is None:
            found = parse_filter(definition)
            self._keep(self._parsed, raw, found)
        return found

    def _keep(self, memory: "OrderedDict[Any, SyncFilter]", key: Any, parsed: SyncFilter) -> None:
        memory[key] = parsed
        memory.move_to_end(key)
        if len(memory) > self._capacity:
            memory.popitem(last=False)


def _canonical(definition: Mapping[str, Any]) -> bytes:
    return canonical_json.encode(definition)
