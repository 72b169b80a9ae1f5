"""Claiming one-time keys. Source: C-S API v1.19 "One-time and fallback keys"; `keys.yaml`."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from e2e.servers import split
from e2e.stocks import Stocks
from homeserver.errors import TooLarge
from homeserver.identifiers import ServerName
from homeserver.storage import one_time_keys
from homeserver.storage.database import Database
from homeserver.storage.one_time_keys import Claimed, Wanted

MAX_CLAIMED = 10_000
"""Keys of one request."""

Json = dict[str, Any]


class OneTimeKeys:
    """Hands out keys: each to one who asks, and nobody else, ever."""

    def __init__(self, *, database: Database, stocks: Stocks, server_name: ServerName) -> None:
        self._database = database
        self._stocks = stocks
        self._server_name = server_name

    async def claim(self, wanted: Mapping[str, Mapping[str, str]]) -> Json:
        """wanted: algorithms by user and device. Of a device that has no key left, its fallback
        key; one without, or that is not known, is not in the answer.

        The answer goes out after the commit: what it names nobody can get again, even if it is
        lost. Raises TooLarge, Unavailable.
        """
        local, failures = split(wanted, self._server_name)
        wishes = [
            Wanted(user_id, device_id, algorithm)
            for user_id in local
            for device_id, algorithm in wanted[user_id].items()
        ]
        if len(wishes) > MAX_CLAIMED:
            raise TooLarge(f"At most {MAX_CLAIMED} keys are claimed at once.")
        claimed = await self._claim(wishes) if wishes else {}
        found: Json = {}
        for wish, key in claimed.items():
            of_user = found.setdefault(wish.user_id, {})
            of_user[wish.device_id] = {f"{key.algorithm}:{key.key_id}": orjson.Fragment(key.key)}
        return {"one_time_keys": found, "failures": failures}

    async def _claim(self, wishes: Sequence[Wanted]) -> dict[Wanted, Claimed]:
        async with self._database.transaction() as db:
            claimed = await one_time_keys.claim(db, wishes)
            found = {wishes[each.number - 1]: each for each in claimed}
            left = [wish for wish in wishes if wish not in found]
            if left:
                fallback = await one_time_keys.claim_fallback(db, left)
                found |= {left[each.number - 1]: each for each in fallback}
        if found:
            self._stocks.announce(each.session_nid for each in found.values())
        return found
