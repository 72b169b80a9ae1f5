"""Uploading the keys of a device, and reading those of others.

Source: C-S API v1.19 "Key Distribution"; `keys.yaml`.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import orjson

from e2e.key_checking import KeyChecking
from e2e.putting_keys import Adding, Done, Putting
from e2e.servers import split
from e2e.standings import Standings
from e2e.stocks import Stocks
from e2e.uploaded_keys import CheckedUpload, Owner, Upload
from homeserver.errors import InvalidInput, InvalidSignature, NotAuthenticated, TooLarge
from homeserver.identifiers import ServerName, UserID
from homeserver.requester import Requester
from homeserver.storage import cross_signing_keys, device_keys, one_time_keys
from homeserver.storage.cross_signing_keys import CrossSigningKeyRow, ShownSignature
from homeserver.storage.database import Connection, Database
from homeserver.storage.device_keys import DeviceKeysRow
from homeserver.storage.device_lists import DEVICE_LISTS
from homeserver.storage.one_time_keys import Batch, Standing
from homeserver.streams.bus import Bus

MAX_QUERIED = 10_000
"""Users of one query."""
_LARGE = 500
"""Devices of an answer that is put together in a thread: of 5,000 it takes a tenth of a second."""

Json = dict[str, Any]


class DeviceKeys:
    """Keys of devices: actions, then views."""

    def __init__(
        self,
        *,
        database: Database,
        checking: KeyChecking,
        stocks: Stocks,
        bus: Bus,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._checking = checking
        self._stocks = stocks
        self._bus = bus
        self._server_name = server_name
        self._standings = Standings()
        self._turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def upload(self, by: Requester, upload: Upload) -> Mapping[str, int]:
        """All or nothing. Returns how many one-time keys the device has, by algorithm.

        Raises InvalidInput for keys of somebody else, and for another key under an ID that the
        device has given; InvalidSignature, TooLarge, NotAllowed, NotAuthenticated, Unavailable.
        """
        require_device(by)
        counts = await self._restock(by, upload) if upload.has_only_one_time_keys else None
        if counts is None:
            return await self._put(by, upload)
        self.announce(by.session_nid, None)
        return counts

    async def _put(self, by: Requester, upload: Upload) -> Mapping[str, int]:
        checked = await self.check(upload, Owner(by.user_id, by.device_id))
        async with self._turn(by.session_nid):
            async with self._database.transaction() as db:
                done = await self.put(db, by, by.session_nid, upload, checked)
                counts = done.counts
                if counts is None:
                    counts = (await one_time_keys.stock(db, by.session_nid)).counts
            self._standings.put(by.session_nid, done.standing)
        self.announce(by.session_nid, done.position)
        return counts

    async def _restock(self, by: Requester, upload: Upload) -> Mapping[str, int] | None:
        """What clients do all the time, without holding the device: a statement reads how that
        stands, unless it is remembered; one adds.

        None: nothing was added, because the device has no identity yet, or something else changed
        its keys meanwhile, or they are of several algorithms.
        """
        remembered = self._standings.get(by.session_nid)
        standing = remembered or await self._standing(by.session_nid)
        if standing is None or standing.identity is None:
            return None
        owner = Owner(by.user_id, by.device_id)
        try:
            checked = await self._checking.check(upload, owner, standing.identity)
        except InvalidSignature:
            if remembered is None:
                raise
            return None  # it may have got another identity, by another process
        if len(checked.one_time) > 1:
            return None
        batch = Batch(*next(iter(checked.one_time.items())))
        async with self._turn(by.session_nid):
            return await self._add(by.session_nid, owner, batch, standing.identity)

    async def _add(
        self, session_nid: int, owner: Owner, batch: Batch, identity: bytes
    ) -> Mapping[str, int] | None:
        """identity: for which the keys were checked."""
        standing = self._standings.take(session_nid) or await self._standing(session_nid)
        if standing is None or standing.identity != identity:
            return None
        async with self._database.connection() as db:
            added = await Adding(db, session_nid, owner, is_held=False).add(batch, standing)
        if added is None:
            return None
        self._standings.put(session_nid, added.standing)
        return added.counts

    async def _standing(self, session_nid: int) -> Standing | None:
        async with self._database.connection() as db:
            standing = await one_time_keys.standing(db, session_nid)
        self._standings.put(session_nid, standing)
        return standing

    def _turn(self, session_nid: int) -> asyncio.Lock:
        """Who adds to one device twice at once would only stand in his own way."""
        return self._turns.setdefault(session_nid, asyncio.Lock())

    async def check(self, upload: Upload, owner: Owner) -> CheckedUpload | None:
        """None: that hangs on the identity that the device has, for it brings none.

        Raises InvalidInput, InvalidSignature, TooLarge, Unavailable.
        """
        if upload.device_keys is None:
            return None
        return await self._checking.check(upload, owner, None)

    async def put(
        self,
        db: Connection,
        by: Requester,
        session_nid: int,
        upload: Upload,
        checked: CheckedUpload | None,
    ) -> Done:
        """Everything that a device uploads, while it is held. checked: what `check` said of it.

        Raises what `upload` does.
        """
        held = await device_keys.hold(db, by.user_nid, session_nid)
        if held is None:
            raise NotAuthenticated("The session of this device has ended.")
        owner = Owner(by.user_id, held.device_id)
        if checked is None:
            checked = await self._checking.check(upload, owner, held.keys)
        return await Putting(db, by, session_nid, owner).all(checked, held)

    def announce(self, session_nid: int, position: int | None) -> None:
        """After the commit. position: of what others are told; None: nothing."""
        self._stocks.announce([session_nid])
        if position is not None:
            self._bus.announce(DEVICE_LISTS, str(position))

    async def query(self, by: Requester, wanted: Mapping[str, Sequence[str]]) -> Json:
        """wanted: device IDs by user, none for all. A number of queries that does not depend on
        how many users or devices there are.

        Raises TooLarge, Unavailable.
        """
        if len(wanted) > MAX_QUERIED:
            raise TooLarge(f"At most {MAX_QUERIED} users are queried at once.")
        local, failures = split(wanted, self._server_name)
        async with self._database.snapshot() as db:
            devices = await device_keys.of_users(db, local)
            keys = await cross_signing_keys.of_users(db, local)
            signatures = await cross_signing_keys.visible_signatures(db, local, by.user_nid)
        devices = [row for row in devices if _is_wanted(row, wanted[row.user_id])]
        found = _Found(by, local, devices, keys, signatures)
        answer = found.answer() if len(devices) < _LARGE else await asyncio.to_thread(found.answer)
        return {**answer, "failures": failures}


def require_device(by: Requester) -> None:
    """Raises InvalidInput for an application service that names none."""
    if by.session_nid <= 0 or not by.device_id:
        raise InvalidInput("This needs a device: name it as device_id.", field="device_id")


_Shown = Mapping[tuple[UserID, str], Sequence[ShownSignature]]
"""By whose key it is, and which."""


def _by_target(signatures: Sequence[ShownSignature]) -> _Shown:
    found: dict[tuple[UserID, str], list[ShownSignature]] = defaultdict(list)
    for each in signatures:
        found[each.target_id, each.target].append(each)
    return found


@dataclass(frozen=True, slots=True)
class _Found:
    """What an answer to a query is made of."""

    by: Requester
    local: Collection[str]
    devices: Sequence[DeviceKeysRow]
    keys: Sequence[CrossSigningKeyRow]
    signatures: Sequence[ShownSignature]

    def answer(self) -> Json:
        shown = _by_target(self.signatures)
        return {
            "device_keys": _devices(self.local, self.devices, shown),
            **_cross_signing(self.by, self.keys, shown),
        }


def _is_wanted(row: DeviceKeysRow, device_ids: Sequence[str]) -> bool:
    return not device_ids or row.device_id in device_ids


def _devices(local: Collection[str], rows: Sequence[DeviceKeysRow], shown: _Shown) -> Json:
    found: Json = {user_id: {} for user_id in local}
    for row in rows:
        keys = _with_signatures(row.keys, shown.get((row.user_id, row.device_id), ()))
        keys["unsigned"] = {"device_display_name": row.name} if row.name else {}
        found[row.user_id][row.device_id] = keys
    return found


def _cross_signing(by: Requester, rows: Sequence[CrossSigningKeyRow], shown: _Shown) -> Json:
    """User-signing keys are shown to their owners only: whom somebody knows is his affair."""
    found: Json = {"master_keys": {}, "self_signing_keys": {}, "user_signing_keys": {}}
    for row in rows:
        if row.usage != "user_signing" or row.user_nid == by.user_nid:
            keys = _with_signatures(row.keys, shown.get((row.user_id, row.public_key), ()))
            found[f"{row.usage}_keys"][row.user_id] = keys
    return found


def _with_signatures(stored: bytes, signatures: Sequence[ShownSignature]) -> Json:
    keys: Json = orjson.loads(stored)
    for each in signatures:
        of_user = keys.setdefault("signatures", {}).setdefault(each.signer_id, {})
        of_user[each.signer_key] = each.signature
    return keys
