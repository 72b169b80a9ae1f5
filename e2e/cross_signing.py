"""Uploading cross-signing keys, and signatures of keys.

Who may sign what: a device, and a master key, their owner's master and device keys; a self-signing
key its owner's devices; a user-signing key the master keys of others.
Source: C-S API v1.19 "Cross-signing", "Key and signature security"; `cross_signing.yaml`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from e2e import uploaded_keys
from e2e.cross_signing_keys import (
    MASTER,
    SELF_SIGNING,
    USAGES,
    USER_SIGNING,
    UploadedKey,
    check_key,
    check_size,
    with_signature,
)
from e2e.signatures import (
    ED25519,
    Signature,
    public_key,
    require_signature,
    same_but_for_signatures,
    signatures_of,
)
from e2e.uploaded_keys import Owner
from homeserver.errors import (
    FoyerError,
    InvalidSignature,
    NoMasterKey,
    NotAllowed,
    NotFound,
    PasswordRequired,
    TooLarge,
)
from homeserver.events.signing import VerifyKey
from homeserver.identifiers import UserID
from homeserver.requester import Requester
from homeserver.storage import cross_signing_keys, device_keys, device_lists
from homeserver.storage.cross_signing_keys import CrossSigningKeyRow, SignatureRow
from homeserver.storage.database import Connection, Database
from homeserver.storage.device_lists import DEVICE_LISTS
from homeserver.streams.bus import Bus

MAX_SIGNED = 1_000
"""Objects of one upload of signatures."""

Keys = Mapping[str, Any]
Failures = dict[str, dict[str, FoyerError]]
"""By user and key."""


class CrossSigning:
    """Changes of cross-signing keys and of signatures."""

    def __init__(self, *, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus

    async def needs_proof(self, by: Requester, keys: Mapping[str, Keys]) -> bool:
        """Whether whoever asks must prove who he is: unless he has no master key yet, or uploads
        what is there. Application services need none. keys: by usage. Raises Unavailable.
        """
        if by.appservice is not None:
            return False
        async with self._database.connection() as db:
            stored = _by_usage(await cross_signing_keys.of_users(db, [by.user_id]))
        if MASTER not in stored:
            return False
        return not all(
            usage in stored and _is_the_same(key, stored[usage]) for usage, key in keys.items()
        )

    async def upload(self, by: Requester, keys: Mapping[str, Keys], *, proven: bool) -> None:
        """keys: by usage. proven: False for somebody who need not, and still need not when his keys
        are held. Raises InvalidInput, InvalidSignature, NoMasterKey, TooLarge, NotAllowed,
        PasswordRequired, Unavailable.
        """
        async with self._database.transaction() as db:
            await cross_signing_keys.hold(db, by.user_nid)
            position = await self._upload(db, by, keys, proven=proven)
        self._announce(position)

    async def add_signatures(
        self, by: Requester, signed: Mapping[str, Mapping[str, Any]]
    ) -> Failures:
        """signed: objects by user, and by device ID or public key. Those that are right are stored;
        returns what is wrong with the others. Raises TooLarge, Unavailable.
        """
        if sum(map(len, signed.values())) > MAX_SIGNED:
            raise TooLarge(f"At most {MAX_SIGNED} keys are signed at once.")
        async with self._database.transaction() as db:
            await cross_signing_keys.hold(db, by.user_nid)
            ring = await _load_ring(db, by, signed)
            rows, failures = _judge(ring, signed)
            is_new = bool(rows) and await cross_signing_keys.add_signatures(db, rows)
            # The owner of the key changed: the signer's other devices look at it again.
            signed_nids = {row.target_nid for row in rows}
            position = await device_lists.note(db, signed_nids) if is_new else None
        self._announce(position)
        return failures

    def _announce(self, position: int | None) -> None:
        if position is not None:
            self._bus.announce(DEVICE_LISTS, str(position))

    async def _upload(
        self, db: Connection, by: Requester, keys: Mapping[str, Keys], *, proven: bool
    ) -> int | None:
        stored = _by_usage(await cross_signing_keys.of_users(db, [by.user_id]))
        checked = _check_all(by.user_id, keys, stored)
        if all(_is_stored(each, stored) for each in checked.values()):
            return None
        if MASTER in stored and not proven and by.appservice is None:
            raise PasswordRequired("These keys replace others: prove who you are.")
        devices = await device_keys.of_user(db, by.user_nid)
        taken = {row.device_id for row in devices}
        if any(each.public_key in taken for each in checked.values()):
            raise NotAllowed("Key ID in use: a device is called like one of the keys.")
        for former in _replaced(checked, stored):
            name = former.public_key
            await cross_signing_keys.forget_key(db, by.user_nid, name, f"{ED25519}:{name}")
            await cross_signing_keys.delete(db, by.user_nid, [former.usage])
        for each in checked.values():
            row = CrossSigningKeyRow(
                by.user_nid, by.user_id, each.usage, each.public_key, each.json
            )
            await cross_signing_keys.put(db, row)
        if MASTER in checked:
            signers = {
                f"{ED25519}:{row.device_id}": _device_key(row.keys, by.user_id, row.device_id)
                for row in devices
            }
            rows = _signatures_of_master(by, checked[MASTER], signers)
            await cross_signing_keys.add_signatures(db, rows)
        return await device_lists.note(db, [by.user_nid])


def _check_all(
    user_id: UserID, keys: Mapping[str, Keys], stored: Mapping[str, CrossSigningKeyRow]
) -> dict[str, UploadedKey]:
    """Raises NoMasterKey where there is none, neither here nor before."""
    checked: dict[str, UploadedKey] = {}
    if MASTER in keys:
        checked[MASTER] = check_key(keys[MASTER], MASTER, user_id, None)
    master = checked.get(MASTER) or _stored_master(user_id, stored)
    if master is None:
        raise NoMasterKey("There is no master key yet: upload one.", field="master_key")
    for usage in (SELF_SIGNING, USER_SIGNING):
        if usage in keys:
            checked[usage] = check_key(keys[usage], usage, user_id, master)
    return checked


def _stored_master(user_id: UserID, stored: Mapping[str, CrossSigningKeyRow]) -> UploadedKey | None:
    row = stored.get(MASTER)
    return None if row is None else check_key(orjson.loads(row.keys), MASTER, user_id, None)


def _is_the_same(key: Keys, row: CrossSigningKeyRow) -> bool:
    return same_but_for_signatures(key, orjson.loads(row.keys))


def _is_stored(key: UploadedKey, stored: Mapping[str, CrossSigningKeyRow]) -> bool:
    row = stored.get(key.usage)
    return row is not None and row.keys == key.json


def _replaced(
    checked: Mapping[str, UploadedKey], stored: Mapping[str, CrossSigningKeyRow]
) -> list[CrossSigningKeyRow]:
    """Former keys that go: with another master key, also those that hung on the former one."""
    former = stored.get(MASTER)
    is_reset = MASTER in checked and (
        former is not None and checked[MASTER].public_key != former.public_key
    )
    return [
        row
        for usage in USAGES
        if (row := stored.get(usage)) is not None
        and (is_reset if usage not in checked else checked[usage].public_key != row.public_key)
    ]


def _signatures_of_master(
    by: Requester, master: UploadedKey, signers: Mapping[str, VerifyKey]
) -> list[SignatureRow]:
    """By devices, as a client that has made the key adds them; what nobody can check is left out.
    Raises InvalidSignature.
    """
    signed = orjson.loads(master.json)
    rows = []
    for each in master.others:
        signer = signers.get(each.key_id)
        if signer is not None and each.signer_id == by.user_id:
            obj = with_signature(signed, each)
            require_signature(obj, by.user_id, each.key_id, signer, "the master key")
            rows.append(_row(by, by.user_nid, master.public_key, each))
    return rows


@dataclass(frozen=True, slots=True)
class _Target:
    """A key that can be signed. is_device: else it is a master key."""

    user_nid: int
    keys: Mapping[str, Any]
    is_device: bool


@dataclass(frozen=True, slots=True)
class _Ring:
    """What a signer's keys are, by ID, and what he may sign with them."""

    by: Requester
    targets: Mapping[tuple[str, str], _Target]
    own_devices: Mapping[str, VerifyKey]
    own_keys: Mapping[str, tuple[str, VerifyKey]]

    def signer(self, owner: str, target: _Target, key_id: str) -> VerifyKey | None:
        """The key that may sign; None: it is none of the signer's, or not for this."""
        usage, key = self.own_keys.get(key_id, ("", None))
        if owner != self.by.user_id:
            return key if usage == USER_SIGNING and not target.is_device else None
        if target.is_device:
            return key if usage == SELF_SIGNING else self.own_devices.get(key_id)
        return self.own_devices.get(key_id) or (key if usage == MASTER else None)


async def _load_ring(
    db: Connection, by: Requester, signed: Mapping[str, Mapping[str, Any]]
) -> _Ring:
    asked = {*signed, by.user_id}
    targets: dict[tuple[str, str], _Target] = {}
    own_devices: dict[str, VerifyKey] = {}
    for device in await device_keys.of_users(db, asked):
        keys = orjson.loads(device.keys)
        targets[device.user_id, device.device_id] = _Target(device.user_nid, keys, is_device=True)
        if device.user_nid == by.user_nid:
            own_devices[f"{ED25519}:{device.device_id}"] = _device_key(
                device.keys, by.user_id, device.device_id
            )
    own_keys: dict[str, tuple[str, VerifyKey]] = {}
    for row in await cross_signing_keys.of_users(db, asked):
        if row.usage == MASTER:
            keys = orjson.loads(row.keys)
            targets[row.user_id, row.public_key] = _Target(row.user_nid, keys, is_device=False)
        if row.user_nid == by.user_nid:
            own_keys[f"{ED25519}:{row.public_key}"] = row.usage, public_key(row.public_key)
    return _Ring(by, targets, own_devices, own_keys)


def _judge(
    ring: _Ring, signed: Mapping[str, Mapping[str, Any]]
) -> tuple[list[SignatureRow], Failures]:
    rows: dict[tuple[int, str, str], SignatureRow] = {}
    failures: Failures = {}
    for user_id, of_user in signed.items():
        for name, obj in of_user.items():
            try:
                for row in _judge_one(ring, user_id, name, obj):
                    rows[row.target_nid, row.target, row.signer_key] = row
            except FoyerError as error:
                failures.setdefault(user_id, {})[name] = error
    return list(rows.values()), failures


def _judge_one(ring: _Ring, user_id: str, name: str, obj: Any) -> list[SignatureRow]:
    """Signatures that are there already, as of the device itself, may be sent along."""
    target = ring.targets.get((user_id, name))
    if target is None:
        raise NotFound("There is no such key.", kind="key")
    if not isinstance(obj, dict) or not same_but_for_signatures(obj, target.keys):
        raise InvalidSignature("This is not the key that is stored under this ID.")
    check_size(obj)
    known = [*signatures_of(target.keys)]
    given = [
        each
        for each in signatures_of(obj)
        if each.signer_id == ring.by.user_id and each not in known
    ]
    for each in given:
        key = ring.signer(user_id, target, each.key_id)
        if key is None:
            raise InvalidSignature(f"{each.key_id} is no key of yours that may sign this.")
        require_signature(
            with_signature(target.keys, each), ring.by.user_id, each.key_id, key, "this key"
        )
    return [_row(ring.by, target.user_nid, name, each) for each in given]


def _row(by: Requester, target_nid: int, target: str, signature: Signature) -> SignatureRow:
    return SignatureRow(target_nid, target, by.user_nid, signature.key_id, signature.text)


def _device_key(keys: bytes, user_id: UserID, device_id: str) -> VerifyKey:
    return uploaded_keys.device_key(orjson.loads(keys), Owner(user_id, device_id))


def _by_usage(rows: Sequence[CrossSigningKeyRow]) -> dict[str, CrossSigningKeyRow]:
    return {row.usage: row for row in rows}
