"""Claiming one-time keys. Source: C-S API v1.19 "One-time and fallback keys"; `keys.yaml`.

Claims that come at once are committed together: while some are, the next ones gather.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import orjson

from e2e.compact_keys import expanded
from e2e.servers import split
from e2e.stocks import Stocks
from homeserver.errors import TooLarge
from homeserver.identifiers import ServerName
from homeserver.storage import one_time_keys
from homeserver.storage.database import Connection, Database
from homeserver.storage.one_time_keys import Claimed, Wanted
from homeserver.streams.gathering import Gathering

MAX_CLAIMED = 10_000
"""Keys of one request."""
_GATHERED = 50
"""A request for more keys is a batch of its own."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Claim:
    """What one request wants; and what it is given, by place of the wish."""

    wishes: Sequence[Wanted]
    given: dict[int, Claimed] = field(default_factory=dict)


class OneTimeKeys:
    """Hands out keys: each to one who asks, and nobody else, ever."""

    def __init__(self, *, database: Database, stocks: Stocks, server_name: ServerName) -> None:
        self._database = database
        self._stocks = stocks
        self._server_name = server_name
        self._gathering: Gathering[int, _Claim] = Gathering(commit=self._commit, prefer=_latter)
        self._numbers = count()

    async def run(self) -> None:
        """Claims what is asked for, until cancelled."""
        await self._gathering.run()

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
        claim = _Claim(wishes)
        if len(wishes) > _GATHERED:
            await self._commit({0: claim})
        elif wishes:
            await self._gathering.put(next(self._numbers), claim)
        found: Json = {}
        for place, key in claim.given.items():
            wish = wishes[place]
            of_user = found.setdefault(wish.user_id, {})
            json = expanded(key.key, wish.user_id, wish.device_id)
            of_user[wish.device_id] = {f"{key.algorithm}:{key.key_id}": orjson.Fragment(json)}
        return {"one_time_keys": found, "failures": failures}

    async def _commit(self, claims: Mapping[int, _Claim]) -> None:
        """Raises Unavailable: then none of them was given anything that counts."""
        places = [(claim, place) for claim in claims.values() for place in range(len(claim.wishes))]
        wishes = [claim.wishes[place] for claim, place in places]
        found = await self._database.retrying(lambda db: _claim(db, wishes))
        for (claim, place), key in zip(places, found.keys, strict=True):
            if key is not None:
                claim.given[place] = key
        self._stocks.announce(found.session_nids)


@dataclass(frozen=True, slots=True)
class _Found:
    """A key for each wish; None: there is none. session_nids: devices that have other keys now."""

    keys: list[Claimed | None]
    session_nids: set[int] = field(default_factory=set)

    def add(self, places: Sequence[int], keys: Iterable[Claimed]) -> None:
        """places: of the wishes to which the keys' numbers refer."""
        for key in keys:
            self.keys[places[key.number - 1]] = key
            self.session_nids.add(key.session_nid)


async def _claim(db: Connection, wishes: Sequence[Wanted]) -> _Found:
    found = _Found([None] * len(wishes))
    found.add(range(len(wishes)), await one_time_keys.claim(db, wishes))
    left = [place for place, key in enumerate(found.keys) if key is None]
    if left:
        wanted = [wishes[place] for place in left]
        found.add(left, await one_time_keys.claim_fallback(db, wanted))
    return found


def _latter(_former: _Claim, latter: _Claim) -> _Claim:
    """No two claims have the same number."""
    return latter
