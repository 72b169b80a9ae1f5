"""Uploading the keys of a device, and reading those of others.

Source: C-S API v1.19 "Key Distribution"; `keys.yaml`.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import orjson

from e2e.key_checking import KeyChecking
from e2e.servers import split
from e2e.signatures import ED25519, Signature, public_key, require_signature
from e2e.stocks import Stocks
from e2e.uploaded_keys import CheckedUpload, Owner, Upload, UploadedDevice
from homeserver.errors import InvalidInput, NotAllowed, NotAuthenticated, TooLarge
from homeserver.events.signing import VerifyKey
from homeserver.identifiers import ServerName, UserID
from homeserver.requester import Requester
from homeserver.storage import cross_signing_keys, device_keys, device_lists, one_time_keys
from homeserver.storage.cross_signing_keys import CrossSigningKeyRow, ShownSignature, SignatureRow
from homeserver.storage.database import Connection, Database
from homeserver.storage.device_keys import DeviceKeysRow
from homeserver.storage.device_lists import DEVICE_LISTS
from homeserver.storage.one_time_keys import REMEMBERED, Batch, KeyRow, Standing
from homeserver.streams.bus import Bus

MAX_ONE_TIME_KEYS = 1_000
"""That one device has at the same time."""
MAX_QUERIED = 10_000
"""Users of one query."""
_FORGOTTEN_AT_ONCE = 100
"""Claimed keys of a device, at least."""
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
        self._turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        """By session: who uploads twice at once would only stand in his own way."""

    async def upload(self, by: Requester, upload: Upload) -> Mapping[str, int]:
        """All or nothing. Returns how many one-time keys the device has, by algorithm.

        Raises InvalidInput for keys of somebody else, and for another key under an ID that the
        device has given; InvalidSignature, TooLarge, NotAllowed, NotAuthenticated, Unavailable.
        """
        require_device(by)
        async with self._turns.setdefault(by.session_nid, asyncio.Lock()):
            counts = await self._restock(by, upload) if upload.has_only_one_time_keys else None
            if counts is None:
                return await self._put(by, upload)
        self.announce(by.session_nid, None)
        return counts

    async def _put(self, by: Requester, upload: Upload) -> Mapping[str, int]:
        async with self._database.transaction() as db:
            position, counts = await self.put(db, by, by.session_nid, upload)
            if counts is None:
                counts = (await one_time_keys.stock(db, by.session_nid)).counts
        self.announce(by.session_nid, position)
        return counts

    async def _restock(self, by: Requester, upload: Upload) -> Mapping[str, int] | None:
        """What clients do all the time, without holding the device: a statement reads, one writes.

        None: nothing was added, because the device has no identity yet, or something else changed
        its keys meanwhile.
        """
        async with self._database.connection() as db:
            standing = await one_time_keys.standing(db, by.session_nid)
            if standing is None or standing.identity is None:
                return None
            owner = Owner(by.user_id, by.device_id)
            checked = await self._checking.check(upload, owner, standing.identity)
            return await _add(db, by.session_nid, checked, standing, is_held=False)

    async def put(
        self, db: Connection, by: Requester, session_nid: int, upload: Upload
    ) -> tuple[int | None, Mapping[str, int] | None]:
        """Everything that a device uploads, checked while it is held, since the identity that it
        has signs the rest. Returns the position of what others are told, if anything; and how many
        one-time keys the device has, if there were any.

        Raises what `upload` does.
        """
        held = await device_keys.hold(db, by.user_nid, session_nid)
        if held is None:
            raise NotAuthenticated("The session of this device has ended.")
        owner = Owner(by.user_id, held.device_id)
        checked = await self._checking.check(upload, owner, held.keys)
        return await _Putting(db, by, session_nid, owner).all(checked, held.keys)

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


@dataclass(frozen=True, slots=True)
class _Putting:
    """The keys of one device, which is held."""

    db: Connection
    by: Requester
    session_nid: int
    owner: Owner

    async def all(
        self, checked: CheckedUpload, stored: bytes | None
    ) -> tuple[int | None, Mapping[str, int] | None]:
        has_changed = False
        if checked.device is not None:
            has_changed = await self._identity(checked.device, stored)
        counts = await self._one_time(checked) if checked.one_time else None
        if checked.fallback:
            rows = [
                KeyRow(name.algorithm, name.name, key) for name, key in checked.fallback.items()
            ]
            await one_time_keys.put_fallback(self.db, self.session_nid, rows)
        position = await device_lists.note(self.db, [self.by.user_nid]) if has_changed else None
        return position, counts

    async def _identity(self, device: UploadedDevice, stored: bytes | None) -> bool:
        """Whether anything changed. A device with another identity begins anew."""
        former = None if stored is None else orjson.loads(stored)
        keys = await cross_signing_keys.of_users(self.db, [self.owner.user_id])
        if any(row.public_key == self.owner.device_id for row in keys):
            raise NotAllowed("A device cannot be called as a cross-signing key is.")
        has_changed = device.json != stored
        if has_changed:
            if former is not None and former["keys"] != device.identity:
                await one_time_keys.delete_all(self.db, self.session_nid)
            if former is not None:
                await cross_signing_keys.forget_devices(
                    self.db, [self.by.user_nid], [self.owner.device_id]
                )
            await device_keys.put(self.db, self.by.user_nid, self.session_nid, device.json)
        return await self._others(device, keys) or has_changed

    async def _others(self, device: UploadedDevice, keys: Sequence[CrossSigningKeyRow]) -> bool:
        """Signatures by the user's self-signing key come along with a device that was dehydrated;
        what nobody can check is left out. Whether there was anything new.
        """
        signers = {f"{ED25519}:{row.public_key}": row for row in keys if _signs_devices(row)}
        signed = orjson.loads(device.json)
        rows = []
        for each in device.others:
            signer = signers.get(each.key_id)
            if signer is not None and each.signer_id == self.owner.user_id:
                _check_other(signed, each, public_key(signer.public_key))
                rows.append(self._row(each))
        return bool(rows) and await cross_signing_keys.add_signatures(self.db, rows)

    def _row(self, signature: Signature) -> SignatureRow:
        nid, device_id = self.by.user_nid, self.owner.device_id
        return SignatureRow(nid, device_id, nid, signature.key_id, signature.text)

    async def _one_time(self, checked: CheckedUpload) -> Mapping[str, int] | None:
        standing = await one_time_keys.standing(self.db, self.session_nid)
        if standing is None:
            return None
        return await _add(self.db, self.session_nid, checked, standing, is_held=True)


async def _add(
    db: Connection, session_nid: int, checked: CheckedUpload, standing: Standing, *, is_held: bool
) -> Mapping[str, int] | None:
    """Adds one-time keys that the device has neither given before nor seen handed out. Returns how
    many it has then; None: it does not stand so any more, and nothing was added.
    """
    fresh = [Batch(algorithm, keys) for algorithm, keys in checked.one_time.items()]
    if standing.knows(fresh):
        known = await one_time_keys.known(db, session_nid, fresh)
        others = [name for each in fresh for name in known.others(each)]
        if others:
            raise InvalidInput(f"There is another key {others[0]}.", field="one_time_keys")
        fresh = [new for each in fresh if (new := known.fresh(each)).keys]
    counts = Counter(standing.counts)
    counts.update({each.algorithm: len(each.keys) for each in fresh})
    if counts.total() > MAX_ONE_TIME_KEYS:
        raise TooLarge(f"A device has at most {MAX_ONE_TIME_KEYS} one-time keys.")
    if fresh and not await one_time_keys.add(
        db, session_nid, fresh, standing=standing, is_held=is_held
    ):
        return None
    if standing.given > REMEMBERED + _FORGOTTEN_AT_ONCE:
        await one_time_keys.forget(db, session_nid)
    return counts


def _signs_devices(row: CrossSigningKeyRow) -> bool:
    return row.usage == "self_signing"


def _check_other(signed: Json, signature: Signature, key: VerifyKey) -> None:
    obj = {**signed, "signatures": {signature.signer_id: {signature.key_id: signature.text}}}
    require_signature(obj, signature.signer_id, signature.key_id, key, "the device's keys")


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
