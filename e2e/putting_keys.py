"""What a device uploaded and was checked, written down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from e2e.compact_keys import expanded
from e2e.signatures import ED25519, Signature, public_key, require_signature
from e2e.uploaded_keys import CheckedUpload, Owner, UploadedDevice
from homeserver.errors import InvalidInput, NotAllowed, TooLarge
from homeserver.events.signing import VerifyKey
from homeserver.requester import Requester
from homeserver.storage import cross_signing_keys, device_keys, device_lists, one_time_keys
from homeserver.storage.cross_signing_keys import CrossSigningKeyRow, SignatureRow
from homeserver.storage.database import Connection
from homeserver.storage.device_keys import Held
from homeserver.storage.one_time_keys import REMEMBERED, Batch, KeyRow, Standing

MAX_ONE_TIME_KEYS = 1_000
"""That one device has at the same time."""
_FORGOTTEN_AT_ONCE = 100
"""Claimed keys of a device, at least."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an upload. position: of what others are told; None: nothing. counts: one-time
    keys that the device has, by algorithm; None: none came. standing: how it stands; None: unknown.
    """

    position: int | None
    counts: Mapping[str, int] | None
    standing: Standing | None


@dataclass(frozen=True, slots=True)
class Putting:
    """The keys of one device, which is held."""

    db: Connection
    by: Requester
    session_nid: int
    owner: Owner

    async def all(self, checked: CheckedUpload, held: Held) -> Done:
        has_changed = False
        if checked.device is not None:
            has_changed = await self._identity(checked.device, held.keys)
        added = await self._one_time(checked) if checked.one_time else None
        if checked.fallback:
            rows = [
                KeyRow(name.algorithm, name.name, key) for name, key in checked.fallback.items()
            ]
            await one_time_keys.put_fallback(self.db, self.session_nid, rows)
        position = await device_lists.note(self.db, [self.by.user_nid]) if has_changed else None
        if added is not None:
            return Done(position, added.counts, added.standing)
        identity = held.keys if checked.device is None else checked.device.json
        standing = None if held.has_one_time_keys else Standing(identity, 0, {})
        return Done(position, None, standing)

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

    async def _one_time(self, checked: CheckedUpload) -> "Added | None":
        """None: the device is gone, or there were none."""
        standing = await one_time_keys.standing(self.db, self.session_nid)
        adding = Adding(self.db, self.session_nid, self.owner, is_held=True)
        added = None
        for algorithm, keys in checked.one_time.items():
            if standing is None:
                return None
            batch = Batch(algorithm, keys)
            added = await adding.add(batch, standing)
            standing = None if added is None else added.standing
        return added


@dataclass(frozen=True, slots=True)
class Added:
    """counts: one-time keys that the device has now, by algorithm."""

    counts: Mapping[str, int]
    standing: Standing


@dataclass(frozen=True, slots=True)
class Adding:
    """One-time keys to a device. is_held: by whoever adds."""

    db: Connection
    session_nid: int
    owner: Owner
    is_held: bool

    async def add(self, batch: Batch, standing: Standing) -> Added | None:
        """Those that the device has neither given before nor seen handed out.

        None: it does not stand so any more, or would have too many, and nothing was added.
        """
        fresh = await self._fresh(batch) if standing.knows(batch) else batch
        if not fresh.keys:
            return Added((await one_time_keys.stock(self.db, self.session_nid)).counts, standing)
        holdings = await one_time_keys.add(
            self.db,
            self.session_nid,
            fresh,
            standing=standing,
            most=MAX_ONE_TIME_KEYS,
            is_held=self.is_held,
        )
        if holdings is None and self.is_held:
            raise TooLarge(f"A device has at most {MAX_ONE_TIME_KEYS} one-time keys.")
        if holdings is None:
            return None
        if holdings.given > REMEMBERED + _FORGOTTEN_AT_ONCE:
            await one_time_keys.forget(self.db, self.session_nid)
        return Added(holdings.counts, standing.after(fresh))

    async def _fresh(self, batch: Batch) -> Batch:
        known = await one_time_keys.known(self.db, self.session_nid, batch)
        json = {key_id: self._json(line) for key_id, line in batch.keys.items()}
        others = known.others(batch, json)
        if others:
            raise InvalidInput(f"There is another key {others[0]}.", field="one_time_keys")
        return known.fresh(batch, json)

    def _json(self, line: str) -> str:
        return expanded(line.encode(), self.owner.user_id, self.owner.device_id).decode()


def _signs_devices(row: CrossSigningKeyRow) -> bool:
    return row.usage == "self_signing"


def _check_other(signed: Json, signature: Signature, key: VerifyKey) -> None:
    obj = {**signed, "signatures": {signature.signer_id: {signature.key_id: signature.text}}}
    require_signature(obj, signature.signer_id, signature.key_id, key, "the device's keys")
